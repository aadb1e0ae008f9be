#!/usr/bin/env bash
# reducer.sh OUT [ROUNDS]: our reducer, PyTorch's, and one all-reduce after backward, side by side (tests/bench/reducer_bench.cpp):
# on 2 and 4 ranks of this machine, then on two network namespaces whose wire carries 1 Gbit/s (root; said where refused).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:?expected a folder for results} rounds=${2:-15}
mkdir -p "$out"
cmake --build build --target reducer_bench
bench=$PWD/build/bin/reducer_bench
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
for ranks in 2 4; do
  echo "== $ranks ranks, shared memory"
  mpirun -n $ranks --oversubscribe --bind-to none "$bench" --rounds "$rounds" --json "$out/shared_$ranks.json"
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
if ! ip netns add $a 2>"$out/refusal"; then
  echo "== NOT RUN over a wire: network namespaces are refused here: $(cat "$out/refusal")"
  exit 0
fi
rm -f "$out/refusal"
ip netns add $b
ip link add wire netns $a type veth peer name wire netns $b
# Each end shapes what it sends. A network card would send by itself; tbf needs the core, which ranks keep busy, and what it
# may send at once has to cover the milliseconds until it gets it: with 128 KiB the wire stands still while ranks compute.
for pair in "$a 1" "$b 2"; do
  read -r name number <<<"$pair"
  ip -n "$name" link set lo up
  ip -n "$name" address add 10.78.0.$number/24 dev wire
  ip -n "$name" link set wire up
  ip netns exec "$name" tc qdisc add dev wire root handle 1: tbf rate 1gbit burst 1mb latency 50ms
done
delay="no delay added"
if ip netns exec $a tc qdisc add dev wire parent 1:1 handle 10: netem delay 0.1ms 2>/dev/null &&
   ip netns exec $b tc qdisc add dev wire parent 1:1 handle 10: netem delay 0.1ms 2>/dev/null; then
  delay="0.1 ms of delay each way"
fi
cat >"$out/agent" <<AGENT
#!/bin/bash
shift
ip netns exec $b unshare --uts bash -c 'hostname host-b; exec bash -c "\$*"' _ "\$@" </dev/null
AGENT
chmod +x "$out/agent"
echo "== 2 ranks on two hosts, 1 Gbit/s, $delay"
OMPI_MCA_plm_rsh_agent=$(realpath "$out/agent") ip netns exec $a unshare --uts bash -c 'hostname host-a; exec "$@"' _ \
  mpirun -n 2 --host 10.78.0.1:1,10.78.0.2:1 --mca btl tcp,self --mca btl_tcp_if_include wire --mca oob_tcp_if_include wire \
  --bind-to none "$bench" --rounds "$rounds" --json "$out/wire_2.json"
