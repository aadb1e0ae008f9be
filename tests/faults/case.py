"""One row of the table of faults: a run, what was done to it, and the contracts it is held against."""

import json
import os
import re
import subprocess
import time

import world
from world import Run

STEPS, SAVE_EVERY = 60, 10
FAULTS = []


def fault(name, short=False):
    """Registers a function of a Case; `short`: also part of --short."""
    def register(function):
        FAULTS.append((name, short, function))
        return function
    return register


class Bench:
    """Corpus, the unbroken run, and one that was killed after step 35, for all faults."""

    def __init__(self, out, binary):
        self.out, self.binary = out, binary
        self.config = world.make_corpus(out / "corpus", binary, STEPS, SAVE_EVERY)
        code, said = world.train(binary, self.config, out / "unbroken")
        if code != 0:
            world.fail(f"the unbroken run ended with {code}:\n{world.tail(said)}")
        self.unbroken = world.final_hashes(out / "unbroken")

    def killed_run(self):
        folder = self.out / "killed"
        if not folder.exists():
            with Run(self.binary, self.config, folder) as run:  # its end kills all that is left
                run.wait_for_step(35)
        return folder


class Case:
    """One fault: its run folder, what was measured, and which contracts it broke."""

    def __init__(self, bench, name, number):
        self.bench, self.name = bench, name
        self.home = bench.out / f"{number:02d}"
        self.folder = self.home / "run"
        self.config = bench.config
        self.message = self.exit = self.seconds = self.left = self.resumed = None
        self.problems, self.run, self.fault_at = [], None, None

    def start(self, step, more=(), **how):
        """Starts the run and waits until it has done so many steps."""
        self.run = Run(self.bench.binary, self.config, self.folder, more, **how)
        self.run.wait_for_step(step)
        self.run.watch()
        ranks = self.run.ranks()
        assert sorted(ranks) == [0, 1], f"expected ranks 0 and 1; found {ranks}"
        return ranks

    def strike(self, pid, number):
        self.fault_at = time.monotonic()
        os.kill(pid, number)

    def end(self, exits, within_s, says):
        """Waits for the end and holds it against the contract."""
        limit_s = within_s + 20
        is_over = self.run.wait_for_end(limit_s)
        self.seconds = time.monotonic() - self.fault_at
        self.left = len(self.run.left())
        self.exit = self.run.exit_code()
        self.expect(is_over, f"{self.left} processes are left after {limit_s} s")
        self.expect(self.exit in exits, f"exit code {self.exit}, expected {exits}")
        self.expect(self.seconds <= within_s, f"{self.seconds:.1f} s to the end, expected {within_s}")
        self.look_for(says, self.run.said())
        self.run.__exit__()

    def look_for(self, says, said):
        found = re.search(says, said)
        self.expect(found, f"nothing said like '{says}':\n{world.tail(said)}")
        if found:
            line = said[said.rfind("\n", 0, found.start()) + 1:].split("\n", 1)[0]
            self.message = line.replace(str(self.folder), "RUN").replace(str(self.home), "…")

    def resume(self, says="resumed from"):
        code, said = world.train(self.bench.binary, self.config, self.folder, ["--resume", "auto"])
        self.expect(code == 0 and "resumed from" in said, f"resume: exit code {code}:\n{world.tail(said)}")
        self.expect(re.search(says, said), f"resume: nothing said like '{says}':\n{world.tail(said)}")
        self.resumed = self.same_as_unbroken()
        return said

    def same_as_unbroken(self):
        is_same = world.final_hashes(self.folder) == self.bench.unbroken
        self.expect(is_same, "the final weights or moments differ from the unbroken run's")
        return "equal" if is_same else "DIFFERENT"

    def from_test(self, name):
        """A row from what a test of endtoend_tests records; the test holds it against the contract."""
        self.home.mkdir(parents=True)
        report = self.home / "test.json"
        program = self.bench.binary.with_name("endtoend_tests")
        if not program.exists():
            self.resumed = f"NOT RUN: no {program.name} here"
            return
        done = subprocess.run([program, f"--gtest_filter={name}", f"--gtest_output=json:{report}"], capture_output=True,
                              text=True)
        test = json.loads(report.read_text())["testsuites"][0]["testsuite"][0]
        if test["result"] == "SKIPPED":
            self.resumed = next(line for line in done.stdout.splitlines() if "NOT RUN" in line)
            return
        self.expect(done.returncode == 0, f"{name}: {world.tail(done.stdout)}")
        self.message, self.exit = test.get("message"), test.get("exit")
        self.seconds, self.left, self.resumed = float(test.get("seconds", "nan")), test.get("left"), test.get("resumed")

    def was_run(self):
        return not (self.resumed or "").startswith("NOT RUN")

    def expect(self, is_kept, problem):
        if not is_kept:
            self.problems.append(problem)

    def row(self):
        cells = [self.name, f"`{self.message}`" if self.message else "–", self.exit,
                 "–" if self.seconds is None else f"{self.seconds:.1f}", self.left, self.resumed or "–"]
        return "| " + " | ".join("–" if cell is None else str(cell).replace("|", "/") for cell in cells) + " |"
