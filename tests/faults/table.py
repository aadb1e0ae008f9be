"""Every fault once, on two ranks: what is said, how it ends and how fast, what is left behind, whether it resumes to
the same bits. Prints a Markdown table; exits 1 when a contract is broken. A fault is one function below @fault."""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import world
from case import FAULTS, SAVE_EVERY, STEPS, Bench, Case, fault
from world import say

TIMEOUT_S, GRACE_S = 5, 3  # comm.timeout_s of the corpus, comm.term_grace_s of the product
AFTER_DEATH_S = 10         # all ranks end within it once a process is dead
# --- Dead, stopped and slow processes ---------------------------------------------------------------------------------

@fault("rank 1: kill -9", short=True)
def kill_rank_1(case):
    case.strike(case.start(25)[1], signal.SIGKILL)
    case.end({137}, AFTER_DEATH_S, r"error: rank 0 of 2: step \d+, .*rank 1 is gone.*--resume auto")
    case.resume()


@fault("rank 0: kill -9")
def kill_rank_0(case):
    case.strike(case.start(25)[0], signal.SIGKILL)
    case.end({137}, AFTER_DEATH_S, r"error: rank 1 of 2: step \d+, .*rank 0 is gone")
    case.resume()


@fault("rank 1: kill -9 under launch/run.sh")
def kill_rank_under_launcher(case):
    case.strike(case.start(25, launcher=True)[1], signal.SIGKILL)
    case.end({137}, AFTER_DEATH_S, r"error: rank 0 of 2: step \d+, .*rank 1 is gone")
    case.resume()


@fault("mpirun: kill -9")
def kill_mpirun(case):
    case.start(25)
    case.strike(case.run.process.pid, signal.SIGKILL)
    case.end({137}, AFTER_DEATH_S, r"")
    case.message = None  # whoever would have printed it is dead
    case.resume()


@fault("launch/run.sh: kill -9")
def kill_launcher(case):
    case.start(25, launcher=True)
    case.strike(case.run.process.pid, signal.SIGKILL)
    case.end({137}, AFTER_DEATH_S, r"")
    case.message = None
    case.resume()


@fault("rank 1: SIGSTOP for good", short=True)
def stop_rank(case):
    case.strike(case.start(12)[1], signal.SIGSTOP)
    case.end({4}, TIMEOUT_S + AFTER_DEATH_S,
             r"error: rank 0 of 2: step \d+, .*all_(reduce|gather) \(.*rank 1 \(.*silent\) absent after 5 s")
    case.resume()


@fault("rank 1: SIGSTOP, SIGCONT after 2 s", short=True)
def slow_rank(case):
    slow = case.start(12)[1]
    case.strike(slow, signal.SIGSTOP)
    time.sleep(2)
    os.kill(slow, signal.SIGCONT)
    case.end({0}, 60, r"")
    case.message = None
    case.resumed = "ran on, " + case.same_as_unbroken()


@fault("rank 0: an exception in mid-run (its files may not grow)")
def rank_0_throws(case):
    # Ignored, the signal leaves a failing write, as a quota would.
    ranks = case.start(12, through=["env", "--ignore-signal=XFSZ"])
    case.fault_at = time.monotonic()
    resource.prlimit(ranks[0], resource.RLIMIT_FSIZE, (1, 1))
    case.end({4}, AFTER_DEATH_S, r"rehearse: rank 0: .*")
    case.resume()


# --- Stop signals -----------------------------------------------------------------------------------------------------

@fault("rank 1: SIGTERM", short=True)
def term_one_rank(case):
    case.strike(case.start(13)[1], signal.SIGTERM)
    case.end({75}, AFTER_DEATH_S, r"stopped by a signal at step \d+.*")
    case.resume()


@fault("all ranks: SIGUSR1")
def user_signal_to_all(case):
    ranks = case.start(17)
    os.kill(ranks[0], signal.SIGUSR1)
    case.strike(ranks[1], signal.SIGUSR1)
    case.end({75}, AFTER_DEATH_S, r"stopped by a signal at step \d+.*")
    case.resume()


@fault("launch/run.sh: SIGTERM")
def term_launcher(case):
    case.start(14, launcher=True)
    case.strike(case.run.process.pid, signal.SIGTERM)
    case.end({75}, AFTER_DEATH_S, r"stopped by a signal at step \d+.*")
    case.resume()


@fault("rank 0: SIGTERM while rank 1 is stopped")
def term_while_stopped(case):
    ranks = case.start(12, ["--set", "comm.timeout_s=300"])
    os.kill(ranks[1], signal.SIGSTOP)
    case.strike(ranks[0], signal.SIGTERM)
    case.end({4}, GRACE_S + AFTER_DEATH_S, r"error: rank 0 of 2: .*rank 1 \(.*absent after 3 s \(comm.term_grace_s")
    case.resume()


@fault("rank 0: SIGTERM when it has waited for rank 1 for longer than comm.term_grace_s")
def term_while_waiting(case):
    case.from_test("Faults.AStopSignalToARankThatHasWaitedForLongerThanTheGraceStillSaves")


@fault("rank 1: SIGTERM, and rank 0's last copy takes longer than both limits")
def term_while_copying(case):
    case.from_test("SlowDisk.AStopWhoseCopyTakesLongerThanTheLimitsIsComplete")


# --- Numbers and data -------------------------------------------------------------------------------------------------

@fault("one clip of a few updates overflows: NaN gradient on its rank only", short=True)
def nan_on_one_rank(case):
    # Seven gains of 60 dB on 32 % of the clips each: about one clip in 190 gets six or more and leaves float's range.
    gain = "    - {type: gain, min_db: 60, max_db: 60, share: 0.32}\n"
    case.config = case.home / "config.yaml"
    case.home.mkdir(parents=True)
    case.config.write_text(case.bench.config.read_text().replace("features:", gain * 7 + "features:"))
    more = ["--set", "comm.checksum_every_steps=1"]
    case.start(1, more)
    case.fault_at = time.monotonic()
    case.end({0}, 60, r"step \d+: the gradient is not finite; update left out")
    steps = [json.loads(line) for line in (case.folder / "metrics.jsonl").read_text().splitlines()]
    skipped = [one["skipped"] for one in steps if one["kind"] == "step"][-1]
    case.expect(0 < skipped < STEPS / 2, f"{skipped} of {STEPS} updates left out, expected a few")
    said = len(re.findall("the gradient is not finite", case.run.said()))
    case.expect(said == skipped, f"{said} lines for {skipped} updates left out")
    again = case.home / "again"
    code, _ = world.train(case.bench.binary, case.config, again, more)
    is_same = code == 0 and world.final_hashes(again) == world.final_hashes(case.folder)
    case.expect(is_same, "a second run ended with other weights")
    case.resumed = f"ran on; {skipped} updates left out by both ranks, weights equal on both after each step"


@fault("audio files turn bad during training")
def file_turns_bad(case):
    case.config = world.make_corpus(case.home / "corpus", case.bench.binary, STEPS, SAVE_EVERY)
    case.start(8, ["--set", "data.loader.cache_mb=0", "--set", "comm.checksum_every_steps=1", "--set",
                   "data.max_rejected_share=0.5"])
    case.fault_at = time.monotonic()
    for number in range(8):  # a few: not every clip is drawn again
        (case.home / f"corpus/loud{number}.wav").write_bytes(b"no longer audio")
        (case.home / f"corpus/soft{number}.wav").unlink()
    case.end({0}, 60, r"left out: .*loud\d.wav.*")
    case.look_for(r"left out: .*soft\d.wav: expected an audio file; found no such file", case.run.said())
    case.resumed = "ran on; weights equal on both ranks after each step"


# --- Disk and checkpoints ---------------------------------------------------------------------------------------------

@fault("the disk is full at a checkpoint")
def full_disk(case):
    case.folder.mkdir(parents=True)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", case.folder], capture_output=True)
    if mount.returncode != 0:
        case.resumed = "NOT RUN: mounting a small file system needs root"
        return
    try:
        case.start(SAVE_EVERY + 2)
        before = world.checkpoints(case.folder)
        room = os.statvfs(case.folder)
        with open(case.folder / "filler", "wb") as filler:
            filler.write(bytes(room.f_bavail * room.f_frsize - 100_000))
        case.fault_at = time.monotonic()
        case.end({4}, AFTER_DEATH_S, r"rehearse: rank 0: .*expected room for \d+ bytes of a checkpoint.*")
        verified = subprocess.run([case.bench.binary, "checkpoint", "verify", before[-1]], capture_output=True)
        case.expect(verified.returncode == 0, f"{before[-1]} does not load: {verified.stderr}")
        (case.folder / "filler").unlink()
        case.resume()
    finally:
        if case.run:
            case.run.__exit__()
        subprocess.run(["umount", case.folder], check=True)


@fault("the disk is full at a save, launch/run.sh --restarts 5")
def full_disk_with_restarts(case):
    case.from_test("FullDisk.IsNotTriedAgainAndAgainByRestarts")


@fault("a file server refuses to remove old checkpoints and has no links")
def file_server(case):
    case.from_test("SlowDisk.AFileServerThatRefusesToRemoveAFolderEndsNothing")


@fault("an older checkpoint is resumed, rank 1 is killed, auto resumes")
def older_resumed_and_killed(case):
    case.from_test("GoingOn.AnOlderCheckpointResumedAndKilledIsWhereAutoGoesOn")


def damaged_newest(case, damage, says):
    """Resumes a killed run whose newest checkpoint got damaged."""
    case.home.mkdir(parents=True)
    shutil.copytree(case.bench.killed_run(), case.folder, symlinks=True)
    newest = world.checkpoints(case.folder)[-1]
    damage(newest)
    said = case.resume(says)
    case.look_for(says, said)
    used = re.search(r"resumed from \S*/(step-\d+)", said)
    case.expect(used and used.group(1) < newest.name, f"expected one older than {newest.name}; found {used}")


@fault("newest checkpoint: truncated")
def truncated(case):
    def damage(newest):
        path = newest / "model.safetensors"
        os.truncate(path, path.stat().st_size // 2)
    damaged_newest(case, damage, r"checkpoint refused, .*model.safetensors: expected \d+ bytes; found \d+")


@fault("newest checkpoint: one bit flipped", short=True)
def bit_flipped(case):
    def damage(newest):
        path = newest / "optimizer.safetensors"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    damaged_newest(case, damage, r"checkpoint refused, .*optimizer.safetensors: expected the SHA-256.*found another")


@fault("newest checkpoint: one file is missing")
def file_missing(case):
    damaged_newest(case, lambda newest: (newest / "curriculum.h5").unlink(), r"checkpoint refused, .*curriculum.h5.*")


@fault("newest checkpoint: torn while it was written")
def torn(case):
    def damage(newest):  # what a power failure leaves before the rename: the folder's name begins with a dot
        (newest / "MANIFEST.json").unlink()
        os.truncate(newest / "state.json", 100)
        newest.rename(newest.with_name(f".{newest.name}.tmp"))
    damaged_newest(case, damage, r"resumed from .*")


# --- Two hosts, which are network namespaces of this machine, with a wire between them -----------------------------------

@fault("two hosts: the wire is cut")
def wire_cut(case):
    case.from_test("TwoHostsRun.ACutWireEndsBothSidesAndTheRunResumesToTheSameBits")


@fault("two hosts: the remote daemon (orted) is killed")
def daemon_killed(case):
    case.from_test("TwoHostsRun.AKilledDaemonTakesItsRankWithItAndTheRunResumesToTheSameBits")


@fault("two hosts: mpirun is killed")
def mpirun_killed(case):
    case.from_test("TwoHostsRun.AKilledMpirunLeavesNoRankOnEitherHost")


@fault("two hosts: the remote rank is killed")
def remote_rank_killed(case):
    case.from_test("TwoHostsRun.AKilledRankEndsTheOtherHostsToo")


@fault("two hosts: one is lost for good, launch/run.sh --restarts 1")
def host_lost(case):
    case.from_test("TwoHostsRun.ALostHostIsLeftOutOfTheRestart")


# --- Devices ----------------------------------------------------------------------------------------------------------

@fault("CUDA out of memory")
def device_memory(case):
    case.resumed = "NOT RUN on a GPU; the message: engine_torch_tests, OnDevice.*"


@fault("NCCL error or abort")
def device_abort(case):
    case.resumed = "NOT RUN on a GPU"


# --- The table --------------------------------------------------------------------------------------------------------

def run_one(bench, number, name, function):
    case = Case(bench, name, number)
    try:
        function(case)
    except Exception as failure:  # the table goes on with the next one
        case.problems.append(f"{type(failure).__name__}: {failure}")
    finally:
        if case.run:
            case.run.__exit__()
    say(case.row())
    for problem in case.problems:
        print(f"faults: {name}: {problem}", file=sys.stderr, flush=True)
    return "broken" if case.problems else "kept" if case.was_run() else "not run"


def main():
    parser = argparse.ArgumentParser(prog="tests/faults/run.sh", description=__doc__)
    parser.add_argument("out", nargs="?", help="folder for the runs, kept (default: a temporary one, removed)")
    parser.add_argument("--short", action="store_true", help="the ones that ctest runs")
    parser.add_argument("--only", default="", help="faults whose name holds this text")
    parser.add_argument("--binary", default=world.ROOT / "build/bin/rehearse", type=Path)
    with_out = parser.parse_args()
    with world.folder_for(with_out.out) as out:
        bench = Bench(out, with_out.binary.resolve())
        say(f"{world.machine()}; {STEPS} steps on 2 ranks, a checkpoint every {SAVE_EVERY}\n")
        say("| fault | message | exit | s to the end | processes left | resumed |\n|---|---|---|---|---|---|")
        begun = time.monotonic()
        results = [run_one(bench, number, name, function) for number, (name, short, function) in enumerate(FAULTS)
                   if with_out.only in name and (short or not with_out.short)]
        say(f"\n{len(results)} faults in {time.monotonic() - begun:.0f} s, {results.count('broken')} broke a contract, "
        f"{results.count('not run')} NOT RUN")
    return 0 if "kept" in results and "broken" not in results else 1


if __name__ == "__main__":
    sys.exit(main())
