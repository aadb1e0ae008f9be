#!/usr/bin/env bash
# run.sh OUT [MINUTES]: fine-tunes runs/quickstart on the domain `drive` with and without rehearsal of the old domains; same minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:?expected a folder for the runs} minutes=${2:-1.75}
corpus=corpora/quickstart
tests=$(printf "$corpus/%s/test.jsonl," studio phone radio crowd drive)
tune() {
  local name=$1
  shift
  rm -rf "${out:?}/$name"
  launch/run.sh -n 2 -- train configs/quickstart_finetune.yaml --init runs/quickstart --set "run.folder=$out/$name" \
    --set "budget.minutes=$minutes" "$@" >"$out/$name.log" 2>&1
  build/bin/rehearse evaluate "$out/$name" --manifest "${tests%,}" --json "$out/$name/evaluation.json" >/dev/null
}
mkdir -p "$out"
build/bin/rehearse evaluate runs/quickstart --manifest "${tests%,}" --json "$out/before.json" >/dev/null
tune replay
tune alone --set "data.train=[$corpus/packed_drive/manifest.jsonl]" --set 'curriculum.domains={drive: {target_cer: 0.2}}'
for name in replay alone; do
  echo "== $name"
  build/bin/rehearse report "$out/$name" --before "$out/before.json" --after "$out/$name/evaluation.json"
done
