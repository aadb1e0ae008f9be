#!/usr/bin/env bash
# A run that is killed N times: tests/faults/kills.sh [N] [--out OUT] [--seed S] [--minutes M] [--binary PATH].
set -euo pipefail
exec python3 -B "$(dirname "${BASH_SOURCE[0]}")/kills.py" "$@"
