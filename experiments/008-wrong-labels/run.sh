#!/usr/bin/env bash
# run.sh DATA OUT [SEEDS] [MINUTES] [SHARE]: a share of wrong texts; curriculum and uniform draws in turn, seed after seed.
# KINDS in the environment chooses among uniform, curriculum, curriculum20.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data=$(realpath "${1:?expected the folder of the speech data}") out=${2:?expected a folder for runs} seeds=${3:-"1 2 3"} minutes=${4:-4} share=${5:-0.1}
kinds=${KINDS:-uniform curriculum curriculum20}
python=.deps/python/bin/python
here=experiments/008-wrong-labels
domains=(digits_en yesno_he wake_en book_en)
join() { local IFS=,; echo "$*"; }
mkdir -p "$out/$share-$minutes"
out=$(realpath "$out/$share-$minutes")
[[ -e $out/manifests/wrong.txt ]] || $python $here/mislabel.py "$data" "$out/manifests" "$share" "${domains[@]}"
train=() valid=()
for domain in "${domains[@]}"; do train+=("$out/manifests/$domain.jsonl"); valid+=("$data/$domain/valid.jsonl"); done
[[ -e $out/characters.txt ]] || build/bin/rehearse tokenizer "${train[@]}" --kind char --out "$out/characters.txt"
shares='domains: {digits_en: {share: 0.758}, yesno_he: {share: 0.018}, wake_en: {share: 0.101}, book_en: {share: 0.123}}'
declare -A draws=(
  [uniform]="{type: uniform, max_repeats: 0, $shares}"
  [curriculum]="{type: curriculum, max_repeats: 0, target_cer: 0.1, $shares}"
  [curriculum20]="{type: curriculum, max_repeats: 0, target_cer: 0.2, $shares}"
)
declare -A files=()
for seed in $seeds; do
  for kind in $kinds; do
    run=$out/$kind-$seed
    [[ -e $run/evaluation.json ]] || {
      launch/run.sh -n 2 -- train experiments/001-real-speech/config.yaml --set "data.train=[$(join "${train[@]}")]" \
        --set "data.valid=[$(join "${valid[@]}")]" --set "data.tokenizer=$out/characters.txt" \
        --set "curriculum=${draws[$kind]}" --set "budget.minutes=$minutes" --set "seed=$seed" --set "run.folder=$run" \
        >"$run.log" 2>&1
      last=$(find "$run/checkpoints" -maxdepth 1 -name 'step-*' | sort | tail -1)
      build/bin/rehearse evaluate "$last" --manifest "$(join "${valid[@]}")" --json "$run/evaluation.json" >"$run.table"
    }
    files[$kind]+=" $run/evaluation.json"
    [[ $kind == uniform ]] || {
      build/bin/rehearse quarantine "$run" --out "$run/suspects.jsonl" >"$run.suspects"
      echo "== $kind, seed $seed"
      $python $here/mislabel.py --score "$out/manifests" "$run/suspects.jsonl"
    }
  done
done
for kind in $kinds; do
  [[ $kind == uniform || -z ${files[uniform]:-} ]] || {
    echo "== $kind against uniform draws"
    # shellcheck disable=SC2086  # lists of files
    $python experiments/benchmarks/peers/compare.py --ours ${files[$kind]} --peer ${files[uniform]}
  }
done
