#!/usr/bin/env bash
# Builds with the CUDA plug-in and runs every GPU test, then prints a table. For a machine with a GPU and nvcc 13.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  echo "launch/gpu_check.sh [ctest arguments]: set up, build, run the tests labelled gpu, print a table."
  echo "Exit codes: 0 every test ran and passed, 1 a test failed, 2 no GPU, no plug-in, or a test was not run."
  exit 0
fi
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
  echo "gpu_check: expected a GPU that nvidia-smi lists; found none" >&2
  exit 2
fi
launch/setup.sh --tests
if [[ ! -e build/lib/librehearse_cuda.so ]]; then
  echo "gpu_check: expected build/lib/librehearse_cuda.so; found none: is nvcc 13 installed?" >&2
  exit 2
fi

# One test at a time: they share the GPU.
log=build/gpu_check.log
code=0
ctest --test-dir build -L '^gpu$' --output-on-failure --no-tests=error -j1 "$@" >"$log" 2>&1 || code=$?
nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader
awk '
  / Test +#[0-9]+: / {
    sub(/^.*#[0-9]+: /, "")
    name = $1
    result = /\*\*\*Skipped/ ? "NOT RUN" : /Passed/ ? "passed" : "FAILED"
    printf "%-90s %-8s %s s\n", name, result, $(NF - 1)
    ++count[result]
  }
  END { printf "%d passed, %d failed, %d not run\n", count["passed"], count["FAILED"], count["NOT RUN"] }' "$log"
if ((code != 0)); then
  echo "gpu_check: failed; the output is in $log" >&2
  exit 1
fi
if grep -q 'Skipped' "$log"; then exit 2; fi
