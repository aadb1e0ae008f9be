#!/usr/bin/env bash
# run.sh BUNDLE DATA OUT [MINUTES]: training speed on one GPU, beside the PyTorch peer for the first network. BUNDLE: a folder of
# launch/bundle.sh; DATA: the folder of the speech data; MINUTES of each run (0.15); ROUNDS: interleaved rounds (1).
set -euo pipefail
bundle=$(realpath "${1:?expected a folder of launch/bundle.sh}") data=$(realpath "${2:?expected the folder of the speech data}")
out=$(realpath -m "${3:?expected a folder for results}") minutes=${4:-0.15}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p "$out"
manifests=("$data"/{digits_en,yesno_he,wake_en,book_en}/train.jsonl)
"$bundle/run" rehearse tokenizer "${manifests[@]}" --kind char --normalizer basic/1 --out "$out/characters.txt"
"$bundle/run" rehearse tokenizer "${manifests[@]}" --kind bpe --size 100 --normalizer basic/1 --out "$out/bpe100.model"
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
small=experiments/001-real-speech/config.yaml
"$bundle/run" "${PYTHON:-python3}" experiments/benchmarks/against_peer.py $small --data "$data" --tokenizer "$out/characters.txt" \
  --both batch.seconds=480 --device cuda --ranks 1 --accumulate 1 --rounds "${ROUNDS:-1}" --minutes "$minutes" \
  --binary "$bundle/bin/rehearse" --peer-workers 4 --set data.loader.threads=4 | tee "$out/speed.txt"
joined=$(IFS=,; echo "${manifests[*]}")
for deterministic in true false; do
  "$bundle/run" rehearse train configs/recipes/compact_9m.yaml --set device=cuda --set "data.train=[$joined]" \
    --set "data.valid=[$data/yesno_he/valid.jsonl]" --set "data.tokenizer=$out/bpe100.model" --set data.normalizer=basic/1 --set budget.passes=0 \
    --set "budget.minutes=$minutes" --set log.every_steps=20 --set validation.every_minutes=0 --set batch.seconds=480 --set batch.micro_batches=1 \
    --set data.loader.threads=4 --set precision=bfloat16 --set deterministic=$deterministic --set "run.folder=$out/compact_$deterministic"
done | tee -a "$out/speed.txt"
