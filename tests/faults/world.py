"""What the fault programs share: a tiny corpus of tones, runs on two ranks, and a look at processes from outside."""

import contextlib
import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import wave
from array import array
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RATE_HZ = 16000
TONE_S, GAP_S, SPACE_S = 0.16, 0.08, 0.24


# --- The corpus -------------------------------------------------------------------------------------------------------

def toy_texts(count, seed):
    """Texts of two or three words of the letters a to d; the same for the same seed."""
    state, texts = seed, []

    def below(n):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % n

    for _ in range(count):
        words = ["".join("abcd"[below(4)] for _ in range(2 + below(3))) for _ in range(2 + below(2))]
        texts.append(" ".join(words))
    return texts


def toy_samples(text, gain):
    """Every letter is a tone, a space is silence."""
    samples = array("h", [0] * int(GAP_S * RATE_HZ))
    for letter in text:
        if letter == " ":
            samples.extend([0] * int(SPACE_S * RATE_HZ))
            continue
        hertz, count = 300.0 * 1.9 ** "abcd".index(letter), int(TONE_S * RATE_HZ)
        samples.extend(round(32767 * gain * math.sin(math.pi * i / count) * math.sin(2 * math.pi * hertz * i / RATE_HZ))
                       for i in range(count))
        samples.extend([0] * int(GAP_S * RATE_HZ))
    return samples


def write_set(folder, name, gain, texts):
    lines = []
    for i, text in enumerate(texts):
        samples = toy_samples(text, gain)
        with wave.open(str(folder / f"{name}{i}.wav"), "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        lines.append(json.dumps({"audio_filepath": f"{name}{i}.wav", "text": text, "domain": name,
                                 "duration": len(samples) / RATE_HZ}))
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def make_corpus(folder, binary, steps, save_every):
    """Two domains, characters and config.yaml with dropout, masks, augmentation and the curriculum; its path."""
    folder.mkdir(parents=True)
    write_set(folder, "loud", 0.6, toy_texts(24, 1))
    write_set(folder, "soft", 0.1, toy_texts(24, 2))
    subprocess.run([binary, "tokenizer", folder / "loud.jsonl", "--kind", "char", "--out", folder / "characters.txt"],
                   check=True, capture_output=True)
    config = folder / "config.yaml"
    config.write_text(f"""threads: 1
data:
  train: [{folder}/loud.jsonl, {folder}/soft.jsonl]
  tokenizer: {folder}/characters.txt
  augment:
    - {{type: speed, min: 0.9, max: 1.1}}
    - {{type: gain, min_db: -6, max_db: 6}}
features: {{channels: 32, spec_augment: {{time_masks: 2, frequency_masks: 1, frequency_width: 5}}}}
model:
  blocks:
    - {{type: subsample, channels: 32, factor: 4}}
    - {{type: separable, channels: 32, kernel: 9, dropout: 0.2}}
batch: {{seconds: 24, micro_batches: 4}}
curriculum: {{type: curriculum, max_repeats: 0, lag_steps: 4, window_steps: 2}}
optimizer: {{lr: 0.02}}
budget: {{steps: {steps}}}
checkpoint: {{every_steps: {save_every}, every_minutes: 0, keep_last: 3}}
comm: {{timeout_s: 5, bucket_kb: 4, checksum_every_steps: 20}}
log: {{every_steps: 1}}
""")
    return config


# --- Processes --------------------------------------------------------------------------------------------------------

def start_time(pid):
    """When the process began, in clock ticks; None: it is gone, or only its parent has not asked for its end yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def descendants(ancestor):
    found = [ancestor]
    for pid in found:
        try:
            found += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            pass
    return found[1:]


def rank_of(pid):
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    found = re.search(rb"(?:^|\0)OMPI_COMM_WORLD_RANK=(\d+)\0", environment)
    return int(found.group(1)) if found else None


def processes_with(argument):
    """Processes that have exactly this word on their command line."""
    found, word = [], os.fsencode(argument)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if word in words and start_time(int(entry)) is not None:
                found.append(int(entry))
    return found


def wait_until(is_true, timeout_s, pause_s=0.002):
    end = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > end:
            return False
        time.sleep(pause_s)
    return True


class Run:
    """`rehearse train` on two ranks, beside this program. Use as a context: nothing outlives it."""

    def __init__(self, binary, config, folder, more=(), launcher=False, grace_s=None, through=()):
        self.folder, self.out = folder, folder.parent / f"{folder.name}.err"
        folder.parent.mkdir(parents=True, exist_ok=True)
        if launcher:
            line = [ROOT / "launch/run.sh", "-n", "2", "--bind", "none", "--binary", binary, "--"]
        else:
            line = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2"]
            line += ["--mca", "odls_base_sigkill_timeout", str(grace_s)] if grace_s else []
            line += [*through, binary]
        line += ["train", config, "--set", f"run.folder={folder}", *more]
        environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                           OMPI_MCA_rmaps_base_oversubscribe="1")

        with open(self.out, "wb") as err:
            self.process = subprocess.Popen([str(word) for word in line], stdin=subprocess.DEVNULL, stderr=err,
                                            stdout=err, env=environment, process_group=0)
        self.started = time.time()
        self.watched = {}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.watch()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def said(self):
        return self.out.read_text(errors="replace")

    def last_step(self):
        """The last step that metrics.jsonl tells of; -1: none."""
        try:
            lines = (self.folder / "metrics.jsonl").read_text().split("\n")[:-1]
        except OSError:
            return -1
        steps = [json.loads(line)["step"] for line in lines if '"kind":"step"' in line]
        return steps[-1] if steps else -1

    def last_step_said(self):
        """The last step that this process printed, whatever the run had done before it; -1: none."""
        found = re.findall(r"^step (\d+)\S* .*\| pass ", self.said(), re.M)
        return int(found[-1]) if found else -1

    def wait_for_step(self, step, timeout_s=60):
        wait_until(lambda: self.process.poll() is not None or self.last_step() >= step, timeout_s)
        if self.process.poll() is not None or self.last_step() < step:
            raise RuntimeError(f"the run did not come to step {step}:\n{tail(self.said())}")

    def ranks(self):
        return {rank: pid for pid in descendants(self.process.pid) if (rank := rank_of(pid)) is not None}

    def watch(self):
        """Remembers all processes of the run, for left()."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            if (began := start_time(pid)) is not None:
                self.watched[pid] = began

    def left(self):
        """Processes of the run: those seen by watch(), and whatever has its folder on its command line."""
        self.process.poll()
        watched = {pid for pid, began in self.watched.items() if start_time(pid) == began}
        return sorted(watched | set(processes_with(f"run.folder={self.folder}")))

    def wait_for_end(self, timeout_s):
        """Until nothing of the run is there any more; false when the time is up."""
        return wait_until(lambda: not self.left(), timeout_s, 0.01) and self.process.wait() is not None

    def exit_code(self):
        code = self.process.poll()
        return None if code is None else 128 - code if code < 0 else code


def train(binary, config, folder, more=(), timeout_s=120):
    """A whole run; its exit code and what it said."""
    with Run(binary, config, folder, more, grace_s=1) as run:
        run.watch()
        code = run.process.wait(timeout_s)
        return code, run.said()


# --- What a run leaves ------------------------------------------------------------------------------------------------

def checkpoints(folder):
    """Whole ones, oldest first."""
    return sorted(path for path in (folder / "checkpoints").glob("step-*") if not path.is_symlink())


def final_hashes(folder):
    newest = checkpoints(folder)[-1]
    return {name: hashlib.sha256((newest / name).read_bytes()).hexdigest()
            for name in ("model.safetensors", "optimizer.safetensors")} | {"step": newest.name}


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return (f"{os.cpu_count()} cores, {cpu.group(1) if cpu else 'unknown CPU'}; "
            f"commit {commit.stdout.strip() or 'unknown'}; {time.strftime('%Y-%m-%d')}")


def say(text):
    print(text, flush=True)


def tail(said, lines=12):
    return "\n".join(said.strip().split("\n")[-lines:])


def fail(text):
    sys.exit(f"faults: {text}")


@contextlib.contextmanager
def folder_for(asked, may_exist=False):
    """The folder that was asked for, new unless it may exist, or a temporary one."""
    if asked is None:
        with tempfile.TemporaryDirectory(prefix="rehearse_faults_") as made:
            yield Path(made)
        return
    out = Path(asked).resolve()
    if not may_exist and out.exists() and any(out.iterdir()):
        fail(f"{out}: expected a new or empty folder; found files; name another")
    out.mkdir(parents=True, exist_ok=True)
    yield out
