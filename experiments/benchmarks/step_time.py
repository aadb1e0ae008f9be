#!/usr/bin/env python3
"""step_time.py OLD NEW CONFIG [--ranks 2,4] [--rounds 9]: the time of a training step by two builds of rehearse, interleaved.

Each round trains CONFIG anew with both programs (in turns, the first one changes from round to round) and takes the median of
the seconds between two steps of metrics.jsonl, after the first ten. Printed: medians and ranges in milliseconds, and the ratio
NEW / OLD of each round. CONFIG has to mean something to both programs and to log every step.
"""
import argparse, json, os, pathlib, shutil, statistics, subprocess, sys, tempfile


def step_ms(program, config, ranks, folder):
    shutil.rmtree(folder, ignore_errors=True)
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    command = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none",
               program, "train", config, "--set", f"run.folder={folder}"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    if run.returncode:
        sys.exit(f"{' '.join(command)}: ended with {run.returncode}\n{run.stderr[-2000:]}")
    rows = [json.loads(line) for line in open(pathlib.Path(folder, "metrics.jsonl"))]
    times = [row["time_s"] for row in rows if row.get("kind") == "step"]
    return 1e3 * statistics.median(b - a for a, b in zip(times[10:], times[11:]))


def spread(values):
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("config")
    parser.add_argument("--ranks", default="2,4")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    for ranks in map(int, options.ranks.split(",")):
        times = {"old": [], "new": []}
        for turn in range(options.rounds):
            for name in ("old", "new") if turn % 2 == 0 else ("new", "old"):
                with tempfile.TemporaryDirectory() as folder:
                    times[name].append(step_ms(getattr(options, name), options.config, ranks, folder + "/run"))
        ratios = [new / old for old, new in zip(times["old"], times["new"])]
        print(f"{ranks} ranks: old {spread(times['old'])} ms, new {spread(times['new'])} ms, new / old {spread(ratios)}", flush=True)


if __name__ == "__main__":
    main()
