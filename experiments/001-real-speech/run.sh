#!/usr/bin/env bash
# run.sh DATA OUT [SEEDS] [MINUTES]: trainer and peer in turn, one seed after the other; then the comparison.
# A run that OUT/MINUTES-minutes already holds is not repeated.
set -euo pipefail
data=$(realpath "${1:?expected the folder of the speech data}") out=$(realpath -m "${2:?expected a folder for runs}")
seeds=${3:-"1 2 3"} minutes=${4:-4}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=.deps/python/bin/python
here=experiments/001-real-speech
# What was best for the peer in its tries (README.md): no dropout, narrower masks.
peer_settings=(--set features.spec_augment.time_masks=2 --set features.spec_augment.time_share=0.05)
for block in 1 2 3 4 5 6 7 8; do peer_settings+=(--set "model.blocks.$block.dropout=0"); done
domains=(digits_en yesno_he wake_en book_en)
for domain in "${domains[@]}"; do
  [[ -r $data/$domain/train.jsonl ]] || { echo "run: $data/$domain/train.jsonl: expected a manifest; found nothing" >&2; exit 2; }
done
runs=$out/$minutes-minutes
mkdir -p "$runs"
join() { local IFS=,; echo "$*"; }
train=() valid=()
for domain in "${domains[@]}"; do train+=("$data/$domain/train.jsonl"); valid+=("$data/$domain/valid.jsonl"); done
[[ -e $out/characters.txt ]] || build/bin/rehearse tokenizer "${train[@]}" --kind char --out "$out/characters.txt"
shared=(--set "data.train=[$(join "${train[@]}")]" --set "data.valid=[$(join "${valid[@]}")]"
        --set "data.tokenizer=$out/characters.txt" --set "budget.minutes=$minutes")
ours=() peers=()
for seed in $seeds; do
  run=$runs/ours-$seed
  [[ -e $run/evaluation.json ]] || {
    launch/run.sh -n 2 -- train $here/config.yaml "${shared[@]}" --set "seed=$seed" --set "run.folder=$run" >"$run.log" 2>&1
    last=$(find "$run/checkpoints" -maxdepth 1 -name 'step-*' | sort | tail -1)
    build/bin/rehearse evaluate "$last" --manifest "$(join "${valid[@]}")" --json "$run/evaluation.json" >"$run.table"
  }
  ours+=("$run/evaluation.json")
  peer=$runs/peer-$seed
  [[ -e $peer/result.json ]] ||
    (cd experiments/benchmarks/peers && "../../../$python" train.py "../../../$here/config.yaml" --out "$peer" \
      --sampling shuffle --accumulate 2 "${peer_settings[@]}" "${shared[@]}" --set "seed=$seed") >"$peer.log" 2>&1
  peers+=("$peer/result.json")
done
peers_folder=experiments/benchmarks/peers
$python $peers_folder/results.py --ours "${ours[@]}" --peer "${peers[@]}" --commit "$(git describe --always --dirty)" --out "$runs/results.json"
$python $peers_folder/compare.py --results "$runs/results.json" | tee "$runs/comparison.txt"
