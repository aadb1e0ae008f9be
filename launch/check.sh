#!/usr/bin/env bash
# What passes before a change is handed in: format, build, tests (layers among them); on request tidy and sanitizers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'EOF'
launch/check.sh [options]: format, build and all tests. Needs clang-format 14.

  --fix         format the files instead of complaining
  --tidy [REV]  also clang-tidy the sources changed since REV (default: the last commit of origin's main, else HEAD~1)
  --asan        also build with the address and undefined-behaviour sanitizers and run the tests of one process
  --tsan        also build the tests without libtorch with the thread sanitizer and run them; the first race ends it
  --no-test     stop after format and tidy
EOF
}

stop() { printf 'check: %s\n' "$*" >&2; exit 2; }
fix=0 tidy=0 base="" asan=0 tsan=0 test=1
while (($#)); do
  case $1 in
    --fix) fix=1 ;;
    --tidy) tidy=1; if [[ -n ${2:-} && $2 != --* ]]; then base=$2; shift; fi ;;
    --asan) asan=1 ;;
    --tsan) tsan=1 ;;
    --no-test) test=0 ;;
    --help|-h) usage; exit 0 ;;
    *) usage >&2; stop "unknown option '$1'" ;;
  esac
  shift
done

# Another version formats differently.
tool() {
  local name
  for name in "$1-14" "$1"; do
    if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then echo "$name"; return; fi
  done
  stop "$1: expected version 14; found none; apt-get install $1-14"
}

check_format() {
  local formatter
  formatter=$(tool clang-format)
  if ((fix)); then
    git ls-files -z '*.cpp' '*.h' '*.cu' '*.cuh' | xargs -0 "$formatter" -i
  else
    git ls-files -z '*.cpp' '*.h' '*.cu' '*.cuh' | xargs -0 "$formatter" --dry-run -Werror
  fi
  echo "check: format is right"
}

# The compile commands without gcc's precompiled header, which clang cannot read.
check_tidy() {
  local tidier changed
  tidier=$(tool clang-tidy)
  [[ -n $base ]] || base=$(git rev-parse -q --verify origin/main || git rev-parse HEAD~1)
  mapfile -t changed < <(git diff --name-only --diff-filter=d "$base" -- '*.cpp')
  if ((${#changed[@]} == 0)); then echo "check: no source changed since $base"; return; fi
  mkdir -p build/tidy
  sed -E 's/-Winvalid-pch//g; s/-include [^ ]*cmake_pch\.hxx//g' build/compile_commands.json >build/tidy/compile_commands.json
  printf '%s\n' "${changed[@]}" | xargs -P "$(nproc)" -n 1 "$tidier" -p build/tidy --quiet --warnings-as-errors='*'
  echo "check: clang-tidy has nothing to say about ${#changed[@]} files"
}

# Runs under mpirun are left out: their limits in seconds are those of the release build.
check_asan() {
  local tests=(base_tests data_tests sampler_tests synth_tests fuzz_tests observe_tests checkpoint_tests comm_tests engine_tests
               speech_tests images_tests keypoints_tests kernel_tests emulated_cuda_tests model_tests engine_torch_tests command_tests)
  cmake --preset asan | sed -n '/Warning\|Error/p'
  cmake --build --preset asan --target "${tests[@]}"
  ASAN_OPTIONS=detect_leaks=0 ctest --test-dir build-asan --output-on-failure -j2 -R "^($(IFS='|'; echo "${tests[*]}"))\\."
}

# libtorch, OpenMPI and HDF5 are not built for the thread sanitizer. These tests see no libtorch and start no MPI.
check_tsan() {
  local tests=(base_tests data_tests sampler_tests observe_tests checkpoint_tests comm_tests engine_tests speech_tests
               images_tests) name
  cmake --preset tsan | sed -n '/Warning\|Error/p'
  cmake --build --preset tsan --target "${tests[@]}"
  for name in "${tests[@]}"; do
    TSAN_OPTIONS=halt_on_error=1 "build-tsan/bin/$name" --gtest_brief=1
  done
  echo "check: the thread sanitizer has nothing to say about ${tests[*]}"
}

check_format
if ((tidy)); then launch/setup.sh; check_tidy; fi
if ((test)); then launch/test.sh; fi
if ((asan)); then check_asan; fi
if ((tsan)); then check_tsan; fi
echo "check: passed"
