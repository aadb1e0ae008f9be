#!/usr/bin/env bash
# Every fault once: tests/faults/run.sh [--short] [--only TEXT] [--binary PATH] [OUT]. Prints a Markdown table.
set -euo pipefail
exec python3 -B "$(dirname "${BASH_SOURCE[0]}")/table.py" "$@"
