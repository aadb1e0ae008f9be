#!/usr/bin/env bash
# run.sh [--binary FILE] [--out DIR] [--check FILE | --write FILE]: three small runs on 2 ranks, and what they end with.
#
# For changes that must not change a run: uniform.yaml, curriculum.yaml and batch_norm.yaml, 60 steps each, over speech that
# `rehearse synth` makes. Printed, and compared with --check or written with --write: SHA-256 of weights, optimizer state,
# curriculum state, observations, and of metrics.jsonl without times, costs and versions. The arithmetic differs between kinds of processors, so a file of
# digests names its own, and --check says when it is of another (exit code 77).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=$here/../../build/bin/rehearse out="" check="" write=""
while (($#)); do
  case $1 in
    --binary) binary=$(realpath "$2"); shift ;;
    --out) out=$2; shift ;;
    --check) check=$(realpath "$2"); shift ;;
    --write) write=$(realpath -m "$2"); shift ;;
    *) sed -n 's/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
  shift
done
field() { sed -n "s/^$1[^:]*: //p" /proc/cpuinfo | head -1; }
processor="# $(field 'model name'), family $(field 'cpu family'), instruction sets $(field flags | sha256sum | cut -c1-8)"
if [[ -n $check && $(head -1 "$check") != "$processor" ]]; then
  echo "reference: NOT COMPARED: $check is of $(head -1 "$check"); this is $processor"
  exit 77
fi
if [[ -z $out ]]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out" && cd "$out"
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
cp "$here"/*.yaml .
"$binary" synth corpus.yaml --out corpus >corpus.log
"$binary" tokenizer corpus/studio/train.jsonl corpus/phone/train.jsonl --kind char --out corpus/characters.txt >>corpus.log

# Rows of metrics.jsonl without what a clock or a machine decides.
plain_metrics() {
  python3 - "$1" <<'P'
import json, sys
def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    clock = ("time_s", "audio_s_per_s", "phase_s", "versions", "product_kernels", "memory_blocks")
    return {key: plain(one) for key, one in value.items() if key not in clock}
for line in open(sys.argv[1]):
    row = json.loads(line)
    if row["kind"] != "cost" and not row.get("text", "").startswith("saved "):  # both come when the disk is done
        print(json.dumps(plain(row), sort_keys=True))
P
}

digests() {
  local name last file
  for name in uniform curriculum batch_norm; do
    rm -rf "$name"
    mpirun -n 2 --oversubscribe --bind-to none "$binary" train "$name.yaml" --set "run.folder=$name" >"$name.log" 2>&1 ||
      { cat "$name.log" >&2; exit 1; }
    last=$name/checkpoints/step-00000060
    for file in model.safetensors optimizer.safetensors curriculum.h5; do
      [[ ! -e $last/$file ]] || echo "$name $file $(sha256sum <"$last/$file" | cut -c1-64)"
    done
    echo "$name observations $(sha256sum <"$name/observations.jsonl" | cut -c1-64)"
    plain_metrics "$name/metrics.jsonl" >"$name.metrics"
    echo "$name metrics $(sha256sum <"$name.metrics" | cut -c1-64)"
  done
}

{ echo "$processor"; digests; } | tee digests.txt
[[ -z $write ]] || cp digests.txt "$write"
if [[ -n $check ]]; then diff "$check" digests.txt && echo "reference: equal to $check"; fi
