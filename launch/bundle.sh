#!/usr/bin/env bash
# Gathers what was built, with every shared library but libtorch's, CUDA's and the C library's, for a machine where nothing is installed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'EOT'
launch/bundle.sh DIR [--limit MIB]: make DIR, which runs on another x86-64 machine that has torch 2.11 (with CUDA for device: cuda).

  DIR/run rehearse …           the program          DIR/run mpirun -n 2 DIR/bin/rehearse train …
  DIR/run gpu_check            every GPU test and the benchmarks of collectives; on a machine without a GPU it says so
  --limit MIB                  largest size of DIR (120); larger is an error; as .tar.gz a bundle is about 40 MiB

The bundle brings OpenMPI. NCCL is the one beside that machine's torch. REHEARSE_TORCH names its torch folder; else python3 is asked.
EOT
}
stop() { printf 'bundle: %s\n' "$*" >&2; exit 2; }

target="" limit=120
while (($#)); do
  case $1 in
    --limit) [[ ${2:-} =~ ^[0-9]+$ ]] || stop "--limit: expected MiB; found '${2:-}'"; limit=$2; shift ;;
    --help|-h) usage; exit 0 ;;
    -*) usage >&2; stop "unknown option '$1'" ;;
    *) [[ -z $target ]] || stop "expected one folder; found '$target' and '$1'"; target=$1 ;;
  esac
  shift
done
[[ -n $target ]] || { usage >&2; stop "expected a folder for the bundle; found nothing"; }
[[ ! -e $target ]] || stop "$target: expected a new folder; found one that is there"
[[ -x $root/build/bin/rehearse ]] || stop "build/bin/rehearse: expected the program; found nothing; run launch/setup.sh --tests"
mkdir -p "$target/bin" "$target/lib" "$target/openmpi/lib" "$target/openmpi/share"
target=$(cd "$target" && pwd)

programs=(rehearse multirank_tests kernel_tests device_communicator_tests gpu_tests gpu_run_tests gpu_nccl_tests reducer_bench)
for name in "${programs[@]}"; do
  if [[ -x $root/build/bin/$name ]]; then strip --strip-all -o "$target/bin/$name" "$root/build/bin/$name"; fi
done
if [[ -e $root/build/lib/librehearse_cuda.so ]]; then
  strip --strip-unneeded -o "$target/lib/librehearse_cuda.so" "$root/build/lib/librehearse_cuda.so"
fi

# OpenMPI: launcher, daemon, plug-ins, and the texts of its messages.
library=$(ldconfig -p | awk '/libmpi\.so\.40/ {print $NF; exit}')
[[ -n $library ]] || stop "libmpi.so.40: expected OpenMPI 4; found none; run launch/setup.sh"
plugins=$(dirname "$library")/openmpi/lib/openmpi3
[[ -d $plugins ]] || plugins=$(dirname "$library")/openmpi/openmpi3
[[ -d $plugins ]] || stop "openmpi3: expected OpenMPI's plug-ins beside $library; found none"
cp -a "$plugins" "$target/openmpi/lib/"
# Fabrics that need drivers of their own; what is left is TCP and shared memory.
find "$target/openmpi/lib/openmpi3" -name '*ucx*' -delete -o -name '*ofi*' -delete -o -name '*psm*' -delete -o -name '*verbs*' -delete \
  -o -name '*usnic*' -delete -o -name '*openib*' -delete
cp -a /usr/share/openmpi "$target/openmpi/share/"
mkdir -p "$target/openmpi/bin" "$target/openmpi/etc"
cp "$(readlink -f "$(command -v orterun)")" "$target/openmpi/bin/orterun"
cp "$(readlink -f "$(command -v orted)")" "$target/openmpi/bin/orted"
ln -s ../openmpi/bin/orterun "$target/bin/mpirun"

# Every library that something of the above needs, and that neither the compiler, the C library nor torch brings.
is_elsewhere() {
  case $(basename "$1") in
    ld-linux*|libstdc++.so*|libgcc_s.so*|libc.so*|libm.so*|libdl.so*|librt.so*|libpthread.so*|libutil.so*|libresolv.so*|libnss_*) return 0 ;;
  esac
  [[ $1 == */torch/lib/* || $1 == */nvidia/* || $1 == */libcuda.so* ]]
}
while IFS= read -r path; do
  is_elsewhere "$path" || cp -Ln "$path" "$target/lib/"
done < <(find "$target/bin" "$target/lib" "$target/openmpi" -type f \( -perm -100 -o -name '*.so*' \) -print0 |
           xargs -0 ldd 2>/dev/null | awk '$3 ~ /^\// {print $3}' | sort -u)

cat >"$target/run" <<'EOT'
#!/usr/bin/env bash
# run PROGRAM ARGS: a program of this bundle with its libraries, OpenMPI and this machine's torch.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
torch=${REHEARSE_TORCH:-$(python3 -c 'import torch; print(torch.__path__[0])' 2>/dev/null || true)}
[[ -e $torch/lib/libtorch_cpu.so ]] || { echo "run: torch: expected torch 2.11; found none; set REHEARSE_TORCH to its folder" >&2; exit 2; }
libraries=$here/lib:$torch/lib
for folder in "$torch"/../nvidia/*/lib; do if [[ -d $folder ]]; then libraries+=:$folder; fi; done
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} OPAL_PREFIX=$here/openmpi PATH=$here/openmpi/bin:$here/bin:$PATH
export OPAL_LIBDIR=$here/openmpi/lib OPAL_PKGLIBDIR=$here/openmpi/lib/openmpi3 OPAL_PKGDATADIR=$here/openmpi/share/openmpi
export OPAL_DATADIR=$here/openmpi/share OPAL_SYSCONFDIR=$here/openmpi/etc OPAL_BINDIR=$here/openmpi/bin
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PMIX_MCA_pcompress_base_silence_warning=1
# Without ssh mpirun can start ranks on this machine alone, and has to be told.
command -v ssh >/dev/null || command -v rsh >/dev/null || export OMPI_MCA_plm=isolated
if [[ ${1:-} == gpu_check ]]; then exec "$here/gpu_check"; fi
exec "$@"
EOT
cat >"$target/gpu_check" <<'EOT'
#!/usr/bin/env bash
# All of a bundle's GPU tests, one row each: passed, FAILED or NOT RUN. Called by `run gpu_check`.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then echo "gpu_check: NOT RUN: no GPU here"; exit 0; fi
nvidia-smi -L
failed=0
check() {
  local name=$1 text code
  shift
  text=$("$@" 2>&1); code=$?
  if ((code)); then failed=1; echo "$name | FAILED ($code)"; echo "$text" | tail -30
  elif grep -q 'NOT RUN' <<<"$text"; then echo "$name | NOT RUN"; echo "$text" | grep 'NOT RUN' | head -3
  else echo "$name | passed"; fi
}
check "kernels" gpu_tests
check "one rank" env REHEARSE_TEST_RANKS=1 mpirun -n 1 "$here/bin/gpu_nccl_tests"
check "two ranks" env REHEARSE_TEST_RANKS=2 mpirun --oversubscribe --bind-to none -n 2 "$here/bin/gpu_nccl_tests"
check "a run" gpu_run_tests
exit $failed
EOT
chmod +x "$target/run" "$target/gpu_check"
size=$(du -sm "$target" | cut -f1)
printf 'bundle: %s: %s MiB, %s programs, %s libraries\n' "$target" "$size" "$(find "$target/bin" -type f | wc -l)" "$(find "$target/lib" -type f | wc -l)"
((size <= limit)) || { printf 'bundle: expected at most %s MiB; found %s; see --limit\n' "$limit" "$size" >&2; exit 1; }
