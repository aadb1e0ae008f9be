#!/usr/bin/env bash
# Set-up, then every test. Arguments go to ctest: launch/test.sh -R Layers
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  echo "launch/test.sh [ctest arguments]: set up, build and run every test."
  echo "REHEARSE_TEST_DATA=FOLDER names real speech for the tests that use it; without it they say so."
  exit 0
fi
launch/setup.sh --tests

# Multi-rank tests start mpirun themselves, as whoever runs them and with more ranks than cores.
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none

arguments=(--test-dir build --output-on-failure -j2 --no-tests=error)
num_gpu=$(ctest --test-dir build -N -L '^gpu$' | sed -n 's/^Total Tests: //p')
if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
  echo "test: $num_gpu gpu tests are run with the others"
else
  echo "test: $num_gpu gpu tests are NOT run: no GPU here"
  arguments+=(-LE '^gpu$')
fi
exec ctest "${arguments[@]}" "$@"
