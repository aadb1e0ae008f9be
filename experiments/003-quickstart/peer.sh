#!/usr/bin/env bash
# peer.sh OUT [SEEDS]: trains on the quick start's corpus with trainer and peer in turn, same minutes; compares test CER.
# Needs what launch/quickstart.sh makes in corpora/quickstart before it trains.
set -euo pipefail
out=$(realpath -m "${1:?expected a folder for runs}") seeds=${2:-"1 2 3"}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
corpus=$PWD/corpora/quickstart
known=(studio phone radio crowd)
mkdir -p "$out"
join() { local IFS=,; echo "$*"; }
train=() tests=()
for domain in "${known[@]}"; do train+=("$corpus/$domain/train.jsonl"); tests+=("$corpus/$domain/test.jsonl"); done
ours=() peers=()
for seed in $seeds; do
  run=$out/ours-$seed peer=$out/peer-$seed
  [[ -e $run/evaluation.json ]] || {
    launch/run.sh -n 2 -- train configs/quickstart.yaml --set "seed=$seed" --set "run.folder=$run" >"$run.log" 2>&1
    build/bin/rehearse evaluate "$run" --manifest "$(join "${tests[@]}")" --json "$run/evaluation.json" >"$run.table"
  }
  [[ -e $peer/result.json ]] ||
    (cd experiments/benchmarks/peers && ../../../.deps/python/bin/python train.py ../../../configs/quickstart.yaml \
      --out "$peer" --sampling shuffle --set "seed=$seed" --set "data.train=[$(join "${train[@]}")]" \
      --set "data.valid=[$(join "${tests[@]}")]" --set "data.tokenizer=$corpus/characters.txt") >"$peer.log" 2>&1
  ours+=("$run/evaluation.json") peers+=("$peer/result.json")
done
python=.deps/python/bin/python peers_folder=experiments/benchmarks/peers
$python $peers_folder/results.py --ours "${ours[@]}" --peer "${peers[@]}" --commit "$(git describe --always --dirty)" --out "$out/results.json"
$python $peers_folder/compare.py --results "$out/results.json" | tee "$out/comparison.txt"
