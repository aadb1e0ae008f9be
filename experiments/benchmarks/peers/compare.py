"""Macro CER of two systems and the 95 % interval of their difference.

`python compare.py --ours A.json... --peer B.json...`, or `--results FILE` of an experiment (written by results.py)

Each of A and B is one seed: `rehearse evaluate --json` or result.json of train.py. The bootstrap is paired by utterance: one
resample of the utterances of each domain serves both systems; the seeds of each system are resampled on their own.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import results


def read(path):
    """{domain: {file name: (edits, length)}}"""
    domains = {}
    for part in json.loads(Path(path).read_text(encoding="utf-8"))["sets"]:
        rows = part.get("utterance_results") or part.get("per_utterance")
        if not rows:
            raise ValueError(f"{path}: set '{part.get('domain')}': expected results per utterance; found none; "
                             "evaluate again with per-utterance output")
        for row in rows:
            name = str(row.get("audio_filepath") or row["id"]).rsplit("/", 1)[-1]
            domain = domains.setdefault(part.get("domain") or part["name"], {})
            if name in domain:
                raise ValueError(f"{path}: expected every file name once in a domain; found {name} twice")
            domain[name] = (row["edits"], row["length"])
    return domains


def arrays(systems):
    """Per domain: edits [seeds, utterances] of each system, lengths [utterances]; all files must hold the same ones."""
    first = systems[0][0]
    out = []
    for domain in sorted(first):
        names = sorted(first[domain])
        lengths = np.array([first[domain][n][1] for n in names], dtype=np.float64)
        for run in (run for system in systems for run in system):
            if sorted(run) != sorted(first) or sorted(run[domain]) != names:
                raise ValueError(f"{domain}: expected the same utterances in every file; found different ones")
            if any(run[domain][n][1] != first[domain][n][1] for n in names):
                raise ValueError(f"{domain}: expected equal reference lengths; found different ones; "
                                 "compare the text normalisation")
        edits = [np.array([[run[domain][n][0] for n in names] for run in system], dtype=np.float64)
                 for system in systems]
        out.append((domain, edits, lengths))
    return out


def macro(domains, system, seeds=None, picks=None):
    rates = []
    for d, (_, edits, lengths) in enumerate(domains):
        rows = edits[system] if seeds is None else edits[system][seeds]
        if picks is not None:
            rows, lengths = rows[:, picks[d]], lengths[picks[d]]
        rates.append(rows.sum(1).mean() / lengths.sum())
    return float(np.mean(rates))


def bootstrap(domains, resamples, seed):
    randomness = np.random.default_rng(seed)
    num_seeds = [domains[0][1][system].shape[0] for system in (0, 1)]
    differences = np.empty(resamples)
    for r in range(resamples):
        picks = [randomness.integers(0, len(lengths), len(lengths)) for _, _, lengths in domains]
        seeds = [randomness.integers(0, n, n) for n in num_seeds]
        differences[r] = macro(domains, 0, seeds[0], picks) - macro(domains, 1, seeds[1], picks)
    return np.percentile(differences, [2.5, 97.5])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", nargs="+")
    parser.add_argument("--peer", nargs="+")
    parser.add_argument("--results", help="instead of --ours and --peer")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if bool(arguments.results) == bool(arguments.ours or arguments.peer) or bool(arguments.ours) != bool(arguments.peer):
        parser.error("expected --ours and --peer, or --results alone")
    if arguments.results:
        systems = results.read(arguments.results)
    else:
        systems = [[read(path) for path in paths] for paths in (arguments.ours, arguments.peer)]
    domains = arrays(systems)
    print("| domain | utterances | ours CER % | peer CER % |\n|---|---|---|---|")
    for domain, edits, lengths in domains:
        ours, peer = (100 * e.sum(1).mean() / lengths.sum() for e in edits)
        print(f"| {domain} | {len(lengths)} | {ours:.2f} | {peer:.2f} |")
    ours, peer = 100 * macro(domains, 0), 100 * macro(domains, 1)
    low, high = 100 * bootstrap(domains, arguments.resamples, arguments.seed)
    print(f"| **macro** | {sum(len(d[2]) for d in domains)} | {ours:.2f} | {peer:.2f} |")
    print(f"\ndifference (ours - peer): {ours - peer:+.2f} points, 95 % interval [{low:+.2f}, {high:+.2f}] "
          f"({len(systems[0])} and {len(systems[1])} seeds, {arguments.resamples} resamples)")


if __name__ == "__main__":
    main()
