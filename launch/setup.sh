#!/usr/bin/env bash
# Installs what Rehearse needs and builds it. Safe to run again: what is already there is left alone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'EOF'
launch/setup.sh [options]: install packages and wheels, then build build/bin/rehearse.

  --no-build      install only
  --tests         also build the tests, which takes longer than the program (launch/test.sh does)
  --cpu           build for the CPU even where nvcc is present
  --peer          also install the Python set for golden files and peer programs
  --offline DIR   take the wheels from DIR and install no packages
  --prefix DIR    put the Python environment in DIR instead of .deps/python
  --help          this text

Debian 12; Ubuntu 24.04 should work and is untested. x86-64 only. Exit codes: 0 done, 1 a step failed, 2 usage or
something that you have to do first.
EOF
}

say() { printf 'setup: %s\n' "$*"; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 2; }

build=1 tests=0 peer=0 cpu=0 offline="" prefix="$root/.deps/python"
while (($#)); do
  case $1 in
    --no-build) build=0 ;;
    --tests) tests=1 ;;
    --cpu) cpu=1 ;;
    --peer) peer=1 ;;
    --offline) [[ -d ${2:-} ]] || stop "--offline: expected a folder of wheels; found '${2:-}'"
               offline=$(cd "$2" && pwd); shift ;;
    --prefix) [[ -n ${2:-} ]] || stop "--prefix: expected a folder; found nothing"
              prefix=$(realpath -m "$2"); shift ;;
    --help|-h) usage; exit 0 ;;
    *) usage >&2; stop "unknown option '$1'" ;;
  esac
  shift
done
[[ $(uname -m) == x86_64 ]] || stop "machine: expected x86_64 (the pinned wheels are built for it); found $(uname -m)"

install_packages() {
  local missing=() name
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian system: install the counterparts of third_party/debian-packages.txt yourself"
    return
  fi
  while read -r name; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
  done < <(grep -v '^#' "$root/third_party/debian-packages.txt")
  if ((${#missing[@]} == 0)); then say "packages: all there"; return; fi
  if [[ -n $offline ]]; then say "packages: --offline, so these stay missing: ${missing[*]}"; return; fi
  local as_root=()
  if ((EUID != 0)); then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
      as_root=(sudo)
    else
      say "packages are missing and neither root nor sudo is at hand; have this line run, then start again:" >&2
      echo "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
      exit 2
    fi
  fi
  say "packages: installing ${#missing[@]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Prints the first Python whose wheels are pinned.
find_python() {
  local candidate
  for candidate in python3 /usr/bin/python3 python3.11 python3.12; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  stop "python: expected 3.11 or 3.12 with venv (the wheels are pinned for these); found $(python3 --version 2>&1 || true)"
}

install_wheels() {
  local lists=("$root/third_party/wheels-cpu.txt") requirements=() list
  if ((cuda || peer)); then lists+=("$root/third_party/wheels-cuda.txt"); fi
  if ((peer)); then lists+=("$root/third_party/wheels-peer.txt"); fi
  mkdir -p "$prefix"
  # One stamp per list: a later run without --peer still knows that the peer set is there.
  for list in "${lists[@]}"; do
    local stamp
    stamp="$prefix/.$(basename "$list" .txt).$(sha256sum "$list" | cut -c1-16)"
    [[ -e $stamp ]] || requirements+=("$list")
  done
  if "$prefix/bin/python" -c '' 2>/dev/null; then
    if ((${#requirements[@]} == 0)); then say "wheels: all there"; return; fi
  else
    local python
    python=$(find_python)
    say "python: new environment in $prefix ($("$python" --version))"
    "$python" -m venv --clear "$prefix"
    requirements=("${lists[@]}")
  fi
  local source=()
  if [[ -n $offline ]]; then source=(--no-index --find-links "$offline"); fi
  for list in "${requirements[@]}"; do
    say "wheels: $(basename "$list") ($(grep -c '==' "$list") wheels)"
    "$prefix/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
      --only-binary=:all: --no-compile "${source[@]}" -r "$list"
    rm -f "$prefix/.$(basename "$list" .txt)".*
    touch "$prefix/.$(basename "$list" .txt).$(sha256sum "$list" | cut -c1-16)"
  done
}

# Sets cuda (0 or 1) and target (one line for people).
detect_cuda() {
  local nvcc version
  cuda=0 target="CPU only"
  if ((cpu)); then return; fi
  nvcc=$(command -v nvcc || { [[ -x /usr/local/cuda/bin/nvcc ]] && echo /usr/local/cuda/bin/nvcc; } || true)
  if [[ -z $nvcc ]]; then return; fi
  version=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
  if [[ $version != 13 ]]; then target="CPU only ($nvcc is release ${version:-unknown}; CUDA builds need 13)"; return; fi
  cuda=1 target="CUDA compiled, no GPU here"
  if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then target="CUDA usable"; fi
}

build_product() {
  local arguments=(-DREHEARSE_CUDA="$( ((cuda)) && echo ON || echo OFF)" -DREHEARSE_LIBTORCH=)
  if [[ $prefix != "$root/.deps/python" ]]; then
    arguments=("${arguments[0]}" -DREHEARSE_LIBTORCH="$(echo "$prefix"/lib/python3*/site-packages/torch)")
  fi
  local stamp="$root/build/.configured" key
  key="$root ${arguments[*]} $(sha256sum "$root/CMakePresets.json" | cut -c1-16)"
  cd "$root"
  # Ninja configures again by itself when a CMake file changed; only other arguments need this.
  if [[ ! -e build/build.ninja || $(cat "$stamp" 2>/dev/null) != "$key" ]]; then
    rm -f "$stamp"
    cmake --preset release "${arguments[@]}" | sed -n '/Libtorch\|rehearse\|Warning\|Error/p'
    echo "$key" >"$stamp"
  fi
  local targets=(--target rehearse)
  if ((cuda)); then targets+=(rehearse_cuda); fi
  if ((tests)); then targets=(); fi
  cmake --build --preset release "${targets[@]}"
}

started=$SECONDS
install_packages
say "packages: $((SECONDS - started)) s"
detect_cuda
say "target: $target"
step=$SECONDS
install_wheels
say "wheels: $((SECONDS - step)) s"
if ((build)); then
  step=$SECONDS
  build_product
  say "build: $((SECONDS - step)) s"
  say "ready: build/bin/rehearse ($target), $((SECONDS - started)) s in all"
else
  say "done without a build ($target), $((SECONDS - started)) s in all"
fi
