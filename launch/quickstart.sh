#!/usr/bin/env bash
# From a fresh checkout to a trained, fine-tuned and measured model. Started again, it goes on where it was stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ranks=2
case ${1:-} in
  "") ;;
  -n) ranks=${2:?-n: expected a number of ranks} ;;
  *) echo "launch/quickstart.sh [-n RANKS]: set up, make a corpus, train, fine-tune, evaluate, report (2 ranks)"
     [[ $1 == --help || $1 == -h ]] && exit 0 || exit 2 ;;
esac

corpus=corpora/quickstart
base=runs/quickstart
tuned=runs/quickstart_finetune
rehearse=build/bin/rehearse
known=(studio phone radio crowd)
new=drive
started=$SECONDS
timings=()

# step NAME COMMAND…: runs it and notes the seconds.
step() {
  local name=$1 begin=$SECONDS
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  "$@"
  timings+=("$(printf '%-22s %5d s' "$name" $((SECONDS - begin)))")
}

manifests() {
  local split=$1 domain
  shift
  for domain in "$@"; do echo "$corpus/$domain/$split.jsonl"; done
}

step "set-up" launch/setup.sh
made="$corpus/.made-$(sha256sum configs/quickstart_corpus.yaml | cut -c1-16)"
if [[ ! -e $made ]]; then
  step "corpus" $rehearse synth configs/quickstart_corpus.yaml --out $corpus
  touch "$made"
fi
mapfile -t known_train < <(manifests train "${known[@]}")
mapfile -t tests < <(manifests test "${known[@]}" $new)
test_options=()
for manifest in "${tests[@]}"; do test_options+=(--manifest "$manifest"); done

step "vocabulary" $rehearse tokenizer "${known_train[@]}" --kind char --out $corpus/characters.txt
step "pack" $rehearse pack "${known_train[@]}" --out $corpus/packed --encoding int16
step "pack $new" $rehearse pack $corpus/$new/train.jsonl --out $corpus/packed_$new --encoding int16
step "doctor" $rehearse doctor configs/quickstart.yaml
step "train" launch/run.sh -n "$ranks" -- train configs/quickstart.yaml --resume auto
step "evaluate before" $rehearse evaluate $base "${test_options[@]}" --json $base/evaluation.json
step "fine-tune on $new" launch/run.sh -n "$ranks" -- train configs/quickstart_finetune.yaml --init $base --resume auto
step "evaluate after" $rehearse evaluate $tuned "${test_options[@]}" --json $tuned/evaluation.json
step "report" $rehearse report $tuned --before $base/evaluation.json --after $tuned/evaluation.json

printf '\n%s\n' "${timings[@]}"
printf '%-22s %5d s\n\n' "in all" $((SECONDS - started))
cat <<EOF
The page: $tuned/report.html

Next:
  $rehearse import --help                            write manifests for a corpus of your own
  $rehearse check configs/quickstart.yaml            every key with its default and where its value comes from
  launch/run.sh -n $ranks -- train my_run.yaml --init $tuned     your own run, starting from this model
EOF
