#!/usr/bin/env bash
# run.sh DATA OUT: peak memory of every rank with the optimizer's state whole and sharded, on 1, 2 and 4 ranks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data=${1:?expected the folder of the speech data} out=$(realpath -m "${2:?expected a folder for runs}")
here=experiments/007-sharded-state
mkdir -p "$out"
build/bin/rehearse tokenizer "$data/digits_en/train.jsonl" --kind char --out "$out/characters.txt" >/dev/null
printf '| ranks | state | peak of each rank, MiB |\n|---|---|---|\n'
for ranks in 1 2 4; do
  for shard in false true; do
    run=$out/$ranks-$shard
    rm -rf "$run"
    launch/run.sh -n $ranks -- train $here/config.yaml --set "data.train=[$data/digits_en/train.jsonl]" \
      --set "data.tokenizer=$out/characters.txt" --set "optimizer.shard=$shard" --set "run.folder=$run" >"$run.log" 2>&1
    python3 - "$run/metrics.jsonl" $ranks $shard <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
peaks = [line for line in lines if line["kind"] == "cost"][-1]["peak_rss_by_rank"]
print(f"| {sys.argv[2]} | {'sharded' if sys.argv[3] == 'true' else 'whole'} | "
      + ", ".join(f"{peak / 2**20:.0f}" for peak in peaks) + " |")
PYTHON
  done
done
