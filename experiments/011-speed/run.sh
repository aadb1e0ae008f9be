#!/usr/bin/env bash
# run.sh DATA OUT: training speed beside the PyTorch peer, interleaved, on an idle machine; about 25 minutes on two cores.
set -euo pipefail
data=$(realpath "${1:?expected the folder of the speech data}") out=$(realpath -m "${2:?expected a folder for results}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p "$out"
manifests=("$data"/{digits_en,yesno_he,wake_en,book_en}/train.jsonl)
build/bin/rehearse tokenizer "${manifests[@]}" --kind char --normalizer basic/1 --out "$out/characters.txt"
build/bin/rehearse tokenizer "${manifests[@]}" --kind bpe --size 200 --normalizer basic/1 --out "$out/bpe200.model"
against() { .deps/python/bin/python experiments/benchmarks/against_peer.py "$@" --data "$data"; }
{
  grep -m1 "model name" /proc/cpuinfo
  echo "0.8 million parameters, stride 4"
  against experiments/001-real-speech/config.yaml --tokenizer "$out/characters.txt" --ranks 1,2 --rounds 3
  against experiments/001-real-speech/config.yaml --tokenizer "$out/characters.txt" --ranks 2 --rounds 3 --accumulate 1
  echo "compact_9m, stride 8"
  against configs/recipes/compact_9m.yaml --tokenizer "$out/bpe200.model" --ranks 2 --rounds 3
  echo "conv8_transformer, stride 8"
  against configs/recipes/conv8_transformer.yaml --tokenizer "$out/bpe200.model" --ranks 2 --rounds 2 --minutes 0.9
} | tee "$out/speed.txt"
