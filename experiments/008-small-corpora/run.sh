#!/usr/bin/env bash
# run.sh DATA OUT: both corpora alone by the recipe for half an hour, ten minutes each, and the run that is set to fail.
set -euo pipefail
data=$(realpath "$1") out=$(realpath -m "$2") here=$(realpath "$(dirname "$0")") root=$(realpath "$(dirname "$0")/../..")
rehearse=$root/build/bin/rehearse
mkdir -p "$out"
for corpus in crowd_is book_en; do
  $rehearse tokenizer "$data/$corpus/train.jsonl" --kind char --out "$out/$corpus.txt"
  manifests=(--set "data.train=[$data/$corpus/train.jsonl]" --set "data.valid=[$data/$corpus/valid.jsonl]")
  $rehearse doctor "$here/small.yaml" "${manifests[@]}" --set "data.tokenizer=$out/$corpus.txt"
  "$root/launch/run.sh" -n 2 -- train "$here/small.yaml" "${manifests[@]}" \
    --set "data.tokenizer=$out/$corpus.txt" --set "run.folder=$out/$corpus"
done
$rehearse tokenizer "$data/crowd_is/train.jsonl" --kind bpe --size 300 --out "$out/bpe300.model"
$rehearse train "$here/silent.yaml" --set "data.train=[$data/crowd_is/train.jsonl]" \
  --set "data.valid=[$data/crowd_is/valid.jsonl]" --set "data.tokenizer=$out/bpe300.model" --set "run.folder=$out/silent"
