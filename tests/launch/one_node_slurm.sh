#!/usr/bin/env bash
# one_node_slurm.sh COMMAND…: a Slurm cluster of this one machine for as long as COMMAND runs. Root, and Debian's packages
# munge, slurmctld, slurmd and slurm-client. Exit code 77 when it cannot be had here, with the reason; else COMMAND's.
set -euo pipefail
missing() { echo "slurm: NOT RUN: $*" >&2; exit 77; }
((EUID == 0)) || missing "needs root"
for program in munged slurmctld slurmd sbatch; do command -v $program >/dev/null || missing "no $program"; done
(($(nproc) > 1)) || missing "needs two cores"

home=$(mktemp -d)
pids=()
tidy() {
  local pid
  # Steps of a job outlive slurmd: they end with their jobs.
  timeout 10 scancel --signal=KILL --full --user=root 2>/dev/null || true
  timeout 10 scancel --user=root 2>/dev/null || true
  for _ in {1..50}; do [[ -z $(timeout 5 squeue --noheader 2>/dev/null) ]] && break; sleep 0.1; done
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf "$home"
}
trap tidy EXIT

# Below the ports that connections get by themselves.
free_port() {
  local port
  for port in $(shuf -i 20000-32000 -n 50); do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && { echo "$port"; return; }
  done
}
node=$(hostname -s)
mkdir -p "$home"/{state,spool}
head -c 128 /dev/urandom >"$home/key"
chmod 700 "$home"
chmod 600 "$home/key"
cat >"$home/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$home/munge.socket
CredType=cred/munge
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
MinJobAge=3600
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
printf 'CgroupPlugin=cgroup/v1\n' >"$home/cgroup.conf"
export SLURM_CONF=$home/slurm.conf

munged --foreground --force --key-file="$home/key" --socket="$home/munge.socket" --pid-file="$home/munged.pid" \
  --seed-file="$home/seed" --log-file="$home/munged.log" >"$home/munged.out" 2>&1 & pids+=($!)
for _ in {1..50}; do [[ -S $home/munge.socket ]] && break; sleep 0.1; done
slurmctld -D >"$home/slurmctld.out" 2>&1 & pids+=($!)
slurmd -D -N "$node" >"$home/slurmd.out" 2>&1 & pids+=($!)
for _ in {1..100}; do
  [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]] && break
  sleep 0.2
done
if [[ $(sinfo --noheader --format=%T 2>/dev/null) != idle ]]; then
  echo "slurm: the node does not come up: $(tail -n 3 "$home"/*.out "$home"/*.log 2>/dev/null | tr '\n' ' ')" >&2
  exit 1
fi
"$@"
