#!/usr/bin/env python3
"""against_peer.py CONFIG --data FOLDER --tokenizer FILE [--ranks 1,2] [--rounds 5] [--minutes 0.5] [--accumulate 1,2] [--device cuda] [--both KEY=VALUE]

Whole training steps with data of rehearse and of the PyTorch peer (peers/README.md), interleaved: each round trains CONFIG anew with
each program in turn on digits_en, yesno_he, wake_en and book_en of FOLDER. Taken: the median of audio-seconds per second over the log
lines after the first third of a run, when caches are warm. --accumulate: micro-batches a rank and update, of both programs. The peer runs
without dropout and with narrower masks, which is its best form in experiment 001 and the faster one. --set is for rehearse alone, --both for both programs.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOMAINS = ("digits_en", "yesno_he", "wake_en", "book_en")


def speed_of(rows):
    values = [row["audio_s_per_s"] for row in rows if row.get("audio_s_per_s") is not None]
    return statistics.median(values[len(values) // 3:])


def lines_of(path):
    return [json.loads(line) for line in open(path)]


def run(command, folder, **more):
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, **more)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}: ended with {result.returncode}\n{result.stderr[-2000:]}")


def common(options, minutes):
    manifests = lambda kind: "[" + ",".join(f"{options.data}/{domain}/{kind}.jsonl" for domain in DOMAINS) + "]"
    sets = {"data.train": manifests("train"), "data.valid": f"[{options.data}/yesno_he/valid.jsonl]", "data.tokenizer": options.tokenizer,
            "data.normalizer": "basic/1", "budget.minutes": minutes, "budget.passes": 0, "log.every_steps": 5}
    sets.update(one.split("=", 1) for one in options.both)
    return [part for key, value in sets.items() for part in ("--set", f"{key}={value}")]


def ours(options, ranks, accumulate, folder):
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    extra = [part for one in options.set for part in ("--set", one)]
    run(["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", options.binary, "train", options.config,
         *common(options, options.minutes), "--set", f"device={options.device}", "--set", f"batch.micro_batches={ranks * accumulate}", "--set", "checkpoint.every_minutes=0",
         "--set", "validation.every_minutes=0", *extra, "--set", f"run.folder={folder}/run"], ROOT, env=environment)
    return speed_of(row for row in lines_of(f"{folder}/run/metrics.jsonl") if row.get("kind") == "step")


def peer(options, ranks, accumulate, folder):
    blocks = subprocess.run([sys.executable, "-c", "import settings, sys, json; print(len(settings.load(sys.argv[1], [])['model']['blocks']))",
                             options.config], capture_output=True, text=True, cwd=HERE / "peers")
    count = int(blocks.stdout) if blocks.returncode == 0 else 0
    sets = ["features.spec_augment.time_masks=2", "features.spec_augment.time_share=0.05"]
    sets += [f"model.blocks.{i}.dropout=0" for i in range(1, count)]
    extra = [part for one in sets for part in ("--set", one)]
    run([sys.executable, "train.py", options.config, "--out", f"{folder}/peer", "--sampling", "shuffle", "--ranks", str(ranks), "--accumulate",
         str(accumulate), *common(options, options.minutes), *extra, "--device", options.device, "--form", options.peer_form, "--workers", str(options.peer_workers),
         *(["--bf16"] if options.peer_bf16 else [])], HERE / "peers")
    return speed_of(lines_of(f"{folder}/peer/metrics.jsonl"))


def spread(values, digits=0):
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("--data", required=True, type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("--tokenizer", required=True, type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("--binary", default=str(ROOT / "build/bin/rehearse"))
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--accumulate", default="2")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for rehearse alone")
    parser.add_argument("--both", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--peer-bf16", action="store_true")
    parser.add_argument("--peer-form", choices=["btc", "bct"], default="btc")
    parser.add_argument("--peer-workers", type=int, default=1)
    options = parser.parse_args()
    for ranks in map(int, options.ranks.split(",")):
        for accumulate in map(int, options.accumulate.split(",")):
            speeds = {ours: [], peer: []}
            for turn in range(options.rounds):
                for program in (ours, peer) if turn % 2 == 0 else (peer, ours):
                    with tempfile.TemporaryDirectory() as folder:
                        speeds[program].append(program(options, ranks, accumulate, folder))
            ratios = [mine / theirs for mine, theirs in zip(speeds[ours], speeds[peer])]
            print(f"{ranks} ranks, {accumulate} micro-batches a rank: rehearse {spread(speeds[ours])}, peer {spread(speeds[peer])} "
                  f"audio-s/s, ratio {spread(ratios, 2)}", flush=True)


if __name__ == "__main__":
    main()
