#!/usr/bin/env bash
# slurm_job.sh BINARY CONFIG RUN LOG: inside one_node_slurm.sh, trains with launch/slurm/train.sbatch; stopped by Slurm's signal, it
# goes back in the queue and ends when it is started again. Then once more with srun --mpi=pmix into RUN-srun.
set -euo pipefail
export REHEARSE_BINARY=$1
config=$2 run=$3 log=$4
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
state() { scontrol show job "$job" | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p'; }
until_true() {  # SECONDS WHAT COMMAND…
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < limit)) || { echo "slurm_job: expected $what; found state $(state)" >&2; tail -n 20 "$log" >&2; exit 1; }
    sleep 0.1
  done
}
has_state() { [[ $(state) == "$1" ]]; }
is_node_idle() { [[ $(sinfo --noheader --format=%T) == idle ]]; }

job=$(sbatch --parsable --cpus-per-task=1 --output="$log" launch/slurm/train.sbatch "$config" --set "run.folder=$run")
until_true 60 "step 20" grep -qs '"step":20[,}]' "$run/metrics.jsonl"
scancel --signal=USR1 --batch "$job"
until_true 60 "the stop after a save" grep -qs "stopped by a signal" "$log"
until_true 60 "the job in the queue" has_state PENDING
until_true 60 "the node without the first try" is_node_idle
sleep 3  # a start in the second of the kill is refused ("job credential revoked"); by itself Slurm waits for two minutes
scontrol update "JobId=$job" StartTime=now
until_true 60 "the end of the job" has_state COMPLETED
timeout 60 srun --ntasks=2 --mpi=pmix "$REHEARSE_BINARY" train "$config" --set "run.folder=$run-srun" >>"$log" 2>&1
