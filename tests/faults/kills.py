"""One run on two ranks is killed -9 N times at random moments, resumed each time, and must end with the bits of the run
that nobody disturbed. With --out it goes on where it stopped. Exits 1 when something is left behind or differs."""

import argparse
import collections
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import world
from world import Run, say

STEPS_PER_KILL, SAVE_EVERY = 10, 4
END_LIMIT_S = 10
# mpirun waits for twice this after a rank's death; launch/run.sh sets 4, which would be 8 s a kill.
MPIRUN_GRACE_S = 1


class Kills:
    def __init__(self, out, binary, count, seed):
        self.out, self.binary, self.count, self.seed = out, binary, count, seed
        self.folder, self.state_path = out / "run", out / "state.json"
        self.state = {"seed": seed, "count": count, "kills": [], "is_done": False}
        self.config = out / "corpus/config.yaml"
        if self.state_path.exists():
            self.state = json.loads(self.state_path.read_text())
            if (self.state["seed"], self.state["count"]) != (seed, count):
                world.fail(f"{out}: expected seed {self.state['seed']} and {self.state['count']} kills as begun there; "
                           f"found {seed} and {count}; name another --out")
        else:
            world.make_corpus(out / "corpus", binary, STEPS_PER_KILL * count, SAVE_EVERY)
            self.save()

    def save(self):
        self.state_path.write_text(json.dumps(self.state))

    def is_saving(self, run):
        """A temporary folder is there that this start touched; an earlier kill may have left another."""
        try:
            return any(path.stat().st_ctime >= run.started for path in (self.folder / "checkpoints").glob(".step-*"))
        except OSError:  # renamed meanwhile
            return False

    def wait_for_moment(self, run, dice):
        """Waits until the run is where the dice want the kill; false when it ended before."""
        alive = lambda: run.process.poll() is None
        kind = dice.choice(["start-up", "step", "step", "saving"])
        if kind == "start-up":
            time.sleep(dice.uniform(0.1, 1.5))
            return alive()
        newest = world.checkpoints(self.folder)
        goal = dice.randint(1, 12) + (int(newest[-1].name.removeprefix("step-")) if newest else 0)
        world.wait_until(lambda: not alive() or run.last_step_said() >= goal, 60)
        if kind == "saving":
            world.wait_until(lambda: not alive() or self.is_saving(run), 30, 0.0005)
        time.sleep(dice.uniform(0, 0.03))
        return alive()

    def kill_once(self):
        number = len(self.state["kills"]) + 1
        dice = random.Random(f"{self.seed}/{number}")
        with Run(self.binary, self.config, self.folder, ["--resume", "auto"], grace_s=MPIRUN_GRACE_S) as run:
            if not self.wait_for_moment(run, dice):
                world.fail(f"kill {number}: the run ended before it:\n{world.tail(run.said())}")
            run.watch()
            victims = {"mpirun": run.process.pid} | {f"rank {rank}": pid for rank, pid in sorted(run.ranks().items())}
            victim = dice.choice(sorted(victims))
            saving = self.is_saving(run)
            os.kill(victims[victim], signal.SIGKILL)
            begun = time.monotonic()
            run.wait_for_end(END_LIMIT_S + 5)
            seconds = time.monotonic() - begun
            phase = "saving" if saving else "step" if run.last_step_said() >= 0 else "start-up"
            kill = {"number": number, "victim": victim, "phase": phase, "seconds": seconds, "left": len(run.left()),
                    "step": run.last_step_said()}
        self.state["kills"].append(kill)
        self.save()
        place = f"step {kill['step']}" if kill["step"] >= 0 else "no step yet"
        say(f"kill {number:3d}: {victim:6s} {phase:8s} {place:11s} "
            f"all ended after {seconds:4.1f} s, {kill['left']} left")

    def finish(self):
        code, said = world.train(self.binary, self.config, self.folder, ["--resume", "auto"], timeout_s=300)
        if code != 0:
            world.fail(f"the last resume ended with {code}:\n{world.tail(said)}")
        code, said = world.train(self.binary, self.config, self.out / "unbroken", timeout_s=300)
        if code != 0:
            world.fail(f"the unbroken run ended with {code}:\n{world.tail(said)}")
        self.state["is_done"] = True
        self.save()

    def judge(self):
        kills = self.state["kills"]
        by = lambda key: ", ".join(f"{name} {count}" for name, count in
                                   sorted(collections.Counter(kill[key] for kill in kills).items()))
        left, slowest = sum(kill["left"] for kill in kills), max(kill["seconds"] for kill in kills)
        killed, unbroken = world.final_hashes(self.folder), world.final_hashes(self.out / "unbroken")
        steps = STEPS_PER_KILL * self.count
        say(f"\n{world.machine()}; seed {self.seed}; {steps} steps, a checkpoint every {SAVE_EVERY}")
        say(f"{len(kills)} kills ({by('victim')}; {by('phase')}); slowest end {slowest:.1f} s; {left} processes left")
        for name in killed:
            say(f"{name}: {killed[name]} {'equals' if killed[name] == unbroken[name] else 'DIFFERS FROM'} "
                f"the unbroken run's {unbroken[name]}")
        return killed == unbroken and left == 0 and slowest <= END_LIMIT_S


def main():
    parser = argparse.ArgumentParser(prog="tests/faults/kills.sh", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=50, help="kills (50)")
    parser.add_argument("--out", help="folder that is kept; the same command goes on there")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long, to go on later (60)")
    parser.add_argument("--binary", default=world.ROOT / "build/bin/rehearse", type=Path)
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    say(f"seed {asked.seed}")
    with world.folder_for(asked.out, may_exist=True) as out:
        kills = Kills(out, asked.binary.resolve(), asked.count, asked.seed)
        while len(kills.state["kills"]) < asked.count and time.monotonic() < until:
            kills.kill_once()
        if len(kills.state["kills"]) < asked.count or (not kills.state["is_done"] and time.monotonic() > until):
            say(f"{len(kills.state['kills'])} of {asked.count} kills; the same command goes on")
            return 0
        if not kills.state["is_done"]:
            kills.finish()
        return 0 if kills.judge() else 1


if __name__ == "__main__":
    sys.exit(main())
