#!/usr/bin/env bash
# Starts N ranks of rehearse under OpenMPI's mpirun and lets all of them save before they stop.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'EOF'
launch/run.sh -n N [options] -- COMMAND ARGS: run `rehearse COMMAND ARGS` on N ranks.

  -n N                  number of ranks
  --hosts A:2,B:2       hosts and the slots to use on each; one that does not answer at the start ends it with exit code 4
  --hostfile FILE       the same from a file (launch/hostfile.example)
  --bind auto|none|core auto: an equal share of this machine's cores for each rank when they divide evenly, else none
  -x NAME[=VALUE]       pass a variable to ranks on other hosts (REHEARSE_*, OMP_*, NCCL_*, CUDA_VISIBLE_DEVICES do anyway)
  --grace S             seconds to save after a stop signal before mpirun ends the ranks (60)
  --host-timeout S      seconds after which a silent host counts as lost, 3 or more and less than comm.timeout_s (10)
  --restarts N          start again, N times at most, when a peer or device failed (exit code 4) or a signal killed a rank;
                        train goes on with --resume auto, unless two tries in a row end before another checkpoint; hosts
                        that do not answer are left out, with fewer ranks (0)
  --pause S             seconds before a restart (5)
  --binary PATH         program to start (build/bin/rehearse)
  --dry-run             print the mpirun line and stop
  --help                this text

SIGTERM, SIGINT and SIGUSR1 reach every rank as SIGUSR1: all ranks save together and exit 75. A second SIGTERM or SIGINT, or
the end of the grace time, makes mpirun end the ranks. The exit code is that of the first rank that did not exit 0.
EOF
}

stop() { printf 'run: %s\n' "$*" >&2; exit 2; }

ranks="" hosts="" hostfile="" bind=auto grace=60 binary="$root/build/bin/rehearse" dry_run=0 forwarded=()
host_timeout=10 restarts=0 num_restarts=0 pause_s=5
source "$root/launch/restarts.sh"
source "$root/launch/mpirun_words.sh"
while (($#)); do
  case $1 in
    -n|--hosts|--hostfile|--bind|-x|--grace|--binary|--host-timeout|--restarts|--pause)
      (($# > 1)) || stop "$1: expected a value; found nothing"
      case $1 in
        -n) ranks=$2 ;;
        --hosts) hosts=$2 ;;
        --hostfile) hostfile=$2 ;;
        --bind) bind=$2 ;;
        -x) forwarded+=(-x "$2") ;;
        --grace) grace=$2 ;;
        --binary) binary=$2 ;;
        --host-timeout) host_timeout=$2 ;;
        --restarts) restarts=$2 ;;
        --pause) pause_s=$2 ;;
      esac
      shift ;;
    --dry-run) dry_run=1 ;;
    --help|-h) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; stop "unknown option '$1' (what rehearse is to do comes after --)" ;;
  esac
  shift
done
[[ $ranks =~ ^[1-9][0-9]*$ ]] || stop "-n: expected a number of ranks; found '$ranks'"
[[ $grace =~ ^[0-9]+$ ]] || stop "--grace: expected whole seconds; found '$grace'"
[[ $host_timeout =~ ^[0-9]+$ && $host_timeout -ge 3 ]] || stop "--host-timeout: expected whole seconds, at least 3; found '$host_timeout'"
[[ $restarts =~ ^[0-9]+$ ]] || stop "--restarts: expected a number of restarts; found '$restarts'"
[[ $pause_s =~ ^[0-9]+$ ]] || stop "--pause: expected whole seconds; found '$pause_s'"
[[ $bind =~ ^(auto|none|core)$ ]] || stop "--bind: expected auto, none or core; found '$bind'"
[[ -z $hosts || -z $hostfile ]] || stop "--hosts and --hostfile: expected one of them; found both"
[[ -z $hostfile || -r $hostfile ]] || stop "--hostfile: expected a readable file; found '$hostfile'"
(($# > 0)) || stop "expected a command after --, such as: launch/run.sh -n $ranks -- train configs/quickstart.yaml"
command=("$@")
expect_slots
if ((restarts > 0)) && [[ "${command[*]} " =~ \ --resume[=\ ]([^\ ]*) && ${BASH_REMATCH[1]} != auto ]]; then
  stop "--restarts: expected --resume auto or none; found '${BASH_REMATCH[1]}', which a restart would go back to"
fi

# Cores, not hardware threads, that this process may use: what mpirun counts as slots.
count_cores() {
  local allowed table
  if ! table=$(lscpu -p=CPU,CORE,SOCKET 2>/dev/null); then nproc; return; fi  # no /sys, as in some sandboxes
  allowed=$(taskset -pc $$ 2>/dev/null | sed 's/.*: //') || allowed=""
  awk -F, -v allowed="$allowed" '
    BEGIN {
      n = split(allowed, parts, ",")
      for (i = 1; i <= n; i++) { m = split(parts[i], ends, "-"); for (c = ends[1]; c <= ends[m]; c++) may[c] = 1 }
    }
    !/^#/ && (allowed == "" || ($1 in may)) { if (!seen[$2 "," $3]++) cores++ }
    END { print cores + 0 }' <<<"$table"
}

# 4: when a rank dies, mpirun sends the others SIGCONT at once, SIGTERM after 4 s and SIGKILL after 8 s, and always waits for
# both, so a larger value would hold up every failed run and a smaller one leaves no time to log which rank is absent.
build_line() {
  local cores local_only=1 name
  line=(mpirun -n "$ranks" --mca odls_base_sigkill_timeout 4)
  if ((EUID == 0)); then line+=(--allow-run-as-root); fi
  if [[ -n $hosts ]]; then line+=(--host "$hosts"); fi
  if [[ -n $hostfile ]]; then line+=(--hostfile "$hostfile"); fi
  cores=$(count_cores)
  if [[ -n $hosts$hostfile || -n ${SLURM_JOB_ID:-} ]]; then local_only=0; fi
  if ((local_only && cores > 0 && ranks > cores)); then line+=(--oversubscribe); fi
  if [[ $bind == core ]]; then
    line+=(--bind-to core)
  elif [[ $bind == auto ]] && ((local_only && ranks > 1 && cores >= ranks && cores % ranks == 0)); then
    line+=(--map-by "slot:PE=$((cores / ranks))" --bind-to core)
  else
    line+=(--bind-to none)
  fi
  if ((!local_only)); then
    # mpirun and the daemons it starts on other hosts miss each other after idle time + interval x probes. OpenMPI's own
    # values are 300 + 20 x 9 s, and while words wait to be sent TCP takes a quarter of an hour instead.
    line+=(--mca oob_tcp_keepalive_time "$((host_timeout - 2))" --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 2)
    export REHEARSE_HOST_TIMEOUT_S=$host_timeout  # compared with comm.timeout_s, which only the program knows
    while IFS= read -r name; do line+=(-x "$name"); done < <(compgen -e | grep -E '^(REHEARSE_|OMP_|NCCL_|CUDA_VISIBLE_DEVICES$)' || true)
  fi
  line+=("${forwarded[@]}" "$binary" "${command[@]}")
}
build_line

if ((dry_run)); then printf '%q ' "${line[@]}"; echo; exit 0; fi
command -v mpirun >/dev/null || stop "mpirun: expected OpenMPI; found nothing on the PATH; run launch/setup.sh"
[[ -x $binary ]] || stop "$binary: expected the program; found nothing; run launch/setup.sh"
expect_answers

signals=0 timer="" mpirun_pid="" is_starting=0 earlier_pid=none status=130
polite() {
  # The signal may come before the next line of the script has noted the id.
  if ((is_starting)) && [[ ${!:-none} != "$earlier_pid" ]]; then mpirun_pid=$!; fi
  [[ -n $mpirun_pid ]] || exit "$status"  # nothing runs, or nothing any more
  signals=$((signals + 1))
  if ((signals == 1)); then
    echo "run: $1: asking all ranks to save and stop; they have $grace s" >&2
    kill -USR1 "$mpirun_pid" 2>/dev/null || true
    (
      trap 'kill $!; exit' TERM
      sleep "$grace" &
      wait $!
      kill -TERM "$mpirun_pid"
    ) >/dev/null 2>&1 &
    timer=$!
  elif [[ $1 != SIGUSR1 ]]; then
    echo "run: $1 again: mpirun ends the ranks" >&2
    kill -TERM "$mpirun_pid" 2>/dev/null || true
  fi
}
trap 'polite SIGTERM' TERM
trap 'polite SIGINT' INT
trap 'polite SIGUSR1' USR1

# Sets `status`.
run_ranks() {
  local before code words_pid words_code=0 i
  # A process group of its own, so that Ctrl-C reaches only this script; mpirun must not outlive the script even if that is
  # killed outright.
  exec 7> >(translate_mpirun)
  words_pid=$!
  set -m
  earlier_pid=$words_pid is_starting=1
  setpriv --pdeathsig TERM -- "${line[@]}" </dev/null 2>&7 7>&- &
  mpirun_pid=${mpirun_pid:-$!} is_starting=0
  set +m
  exec 7>&-
  status=0
  while :; do
    before=$signals
    code=0
    wait "$mpirun_pid" || code=$?
    # 127: the wait that a signal interrupted had already reported the end.
    if ((code != 127)); then status=$code; fi
    if ((before == signals)); then break; fi
  done
  mpirun_pid=""
  # What mpirun makes of a daemon on another host that it lost (205) or could not start (255), whatever the ranks said: a
  # peer failed.
  if ((status == 205 || status == 255)); then status=4; fi
  # What a rank started may hold the pipe open.
  for ((i = 0; i < 20; i++)); do kill -0 "$words_pid" 2>/dev/null || break; sleep 0.05; done
  if ((i == 20)); then kill -KILL "$words_pid" 2>/dev/null || true; fi
  wait "$words_pid" || words_code=$?
  if ((status != 0 && (words_code == 2 || words_code == 4))); then status=$words_code; fi
}

while :; do
  run_ranks
  if ((signals > 0)) || ! prepare_restart "$status"; then break; fi
  build_line
done
if [[ -n $timer ]]; then kill "$timer" 2>/dev/null || true; fi
exit "$status"
