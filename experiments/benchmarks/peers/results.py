"""The small results file of a comparison: what compare.py needs of its runs, and their key figures.

`python results.py --ours A.json... --peer B.json... --commit C --out FILE` writes it from finished runs (machine and remarks
go into the README beside it); `python compare.py --results FILE` reads it. `edits` come in the order of `names`.
"""

import argparse
import json
import statistics
from pathlib import Path

import yaml


def read(path):
    """The runs of trainer and peer as compare.read gives them: {domain: {file name: (edits, length)}}"""
    file = json.loads(Path(path).read_text(encoding="utf-8"))
    systems = {"trainer": [], "peer": []}
    for run in file["runs"]:
        systems[run["program"]].append({domain: {name: (edits, length) for name, length, edits
                                                 in zip(part["names"], part["lengths"], run["edits"][domain])}
                                        for domain, part in file["utterances"].items()})
    return [systems["trainer"], systems["peer"]]


def of_trainer(path):
    """Key figures from `rehearse evaluate --json` inside a run folder."""
    folder = Path(path).parent
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rates = [row["audio_s_per_s"] for row in rows if row["kind"] == "step"]
    cost = [row for row in rows if row["kind"] == "cost"][-1]
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return {"seed": config["seed"], "minutes": config["budget"]["minutes"],
            "updates": json.loads(Path(path).read_text(encoding="utf-8"))["step"],
            "audio_s_per_s": round(cost["audio_hours"] * 3600 / cost["wall_s"], 1),
            "log_audio_s_per_s": {"median": round(statistics.median_low(rates), 1), "min": round(min(rates), 1),
                                  "max": round(max(rates), 1)}}


def of_peer(path):
    result = json.loads(Path(path).read_text(encoding="utf-8"))
    return {"seed": result["seed"], "minutes": round(result["minutes"], 2), "updates": result["steps"],
            "audio_s_per_s": round(result["audio_s_per_s"], 1)}


def summary(program, figures, domains, utterances):
    edits = {domain: [domains[domain][name][0] for name in utterances[domain]["names"]] for domain in utterances}
    cer = {domain: sum(edits[domain]) / sum(utterances[domain]["lengths"]) for domain in utterances}
    percent = {"macro": sum(cer.values()) / len(cer), **cer}
    return {"program": program, **figures, "cer_percent": {name: round(100 * x, 2) for name, x in percent.items()},
            "edits": edits}


def as_lines(file):
    """JSON with each run's figures and each domain's numbers on a line of their own."""
    def packed(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def block(fields, indent):
        pad = " " * indent
        return "{\n" + ",\n".join(f"{pad} {packed(k)}: {v}" for k, v in fields.items()) + "\n" + pad + "}"

    runs = [block({**{k: packed(v) for k, v in run.items() if k != "edits"},
                   "edits": block({d: packed(v) for d, v in run["edits"].items()}, 3)}, 2) for run in file["runs"]]
    utterances = {d: block({k: packed(v) for k, v in part.items()}, 2) for d, part in file["utterances"].items()}
    head = {k: packed(v) for k, v in file.items() if k not in ("runs", "utterances")}
    return block({**head, "runs": "[\n  " + ",\n  ".join(runs) + "\n ]", "utterances": block(utterances, 1)}, 0) + "\n"


def main():
    import compare

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", nargs="+", required=True)
    parser.add_argument("--peer", nargs="+", required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    ours, peers = [[compare.read(path) for path in paths] for paths in (arguments.ours, arguments.peer)]
    compare.arrays([ours, peers])  # refuses runs that cannot be compared
    utterances = {domain: {"names": sorted(rows), "lengths": [rows[name][1] for name in sorted(rows)]}
                  for domain, rows in sorted(ours[0].items())}
    runs = [summary("trainer", of_trainer(path), run, utterances) for path, run in zip(arguments.ours, ours)]
    runs += [summary("peer", of_peer(path), run, utterances) for path, run in zip(arguments.peer, peers)]
    file = {"commit": arguments.commit, "runs": runs, "utterances": utterances}
    Path(arguments.out).write_text(as_lines(file), encoding="utf-8")


if __name__ == "__main__":
    main()
