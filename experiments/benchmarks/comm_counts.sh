#!/usr/bin/env bash
# comm_counts.sh OUT [BINARY]: counts messages, bytes and meetings of the collectives on 2, 4, 8 and 16 ranks of one host and of two
# network namespaces (root; said where refused), and compares them with comm_model.py; exit code 1 on a difference.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:?expected a folder for results} binary=$(realpath "${2:-build/bin/rehearse}")
mkdir -p "$out"
out=$(realpath "$out")
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
bench=(bench comm --min 8 --max 8M --factor 16 --iterations 3)
for ranks in 2 4 8 16; do
  mpirun -n $ranks --oversubscribe --bind-to none "$binary" "${bench[@]}" --json "$out/one_host_$ranks.json" >"$out/one_host_$ranks.txt"
done

a=rehearse-$$-a b=rehearse-$$-b
tidy() {
  local name pid
  for name in $a $b; do
    for pid in $(ip netns pids $name 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
    ip netns delete $name 2>/dev/null || true
  done
  rm -f "$out/agent"
}
trap tidy EXIT
if ip netns add $a 2>"$out/refusal"; then
  rm -f "$out/refusal"
  ip netns add $b
  ip link add wire netns $a type veth peer name wire netns $b
  for pair in "$a 1" "$b 2"; do
    read -r name number <<<"$pair"
    ip -n "$name" link set lo up
    ip -n "$name" address add 10.79.0.$number/24 dev wire
    ip -n "$name" link set wire up
  done
  printf '#!/bin/bash\nshift\nip netns exec %s unshare --uts bash -c '"'hostname host-b; exec bash -c \"\$*\"'"' _ "$@" </dev/null\n' $b >"$out/agent"
  chmod +x "$out/agent"
  for ranks in 2 4 8 16; do
    OMPI_MCA_plm_rsh_agent=$out/agent ip netns exec $a unshare --uts bash -c 'hostname host-a; exec "$@"' _ \
      mpirun -n $ranks --host 10.79.0.1:$((ranks / 2)),10.79.0.2:$((ranks / 2)) --mca btl_tcp_if_include wire --mca oob_tcp_if_include wire \
      --bind-to none "$binary" "${bench[@]}" --json "$out/two_hosts_$ranks.json" >"$out/two_hosts_$ranks.txt"
  done
else
  echo "NOT RUN on two hosts: network namespaces are refused here: $(cat "$out/refusal")"
fi
echo "| ranks | hosts | collective | bytes | messages | message bytes | meetings | shared bytes | against the model |"
echo "|---|---|---|---|---|---|---|---|---|"
python3 experiments/benchmarks/comm_model.py --check $(ls "$out"/*.json | sort -V)
