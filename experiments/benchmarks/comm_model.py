#!/usr/bin/env python3
"""What the collectives between CPU ranks cost (trainer/comm/BENCH.md): a model, a simulation, and counts of real runs.

comm_model.py                      the table for 2 to 1,024 ranks: model and simulation, which have to agree
comm_model.py --check FILE.json    compares a run of `bench comm --json FILE.json` with the model; exit code 1 on a difference
"""
import argparse, json, math, sys

WHOLE, LANE, SLOT, MEMORY, PAGE = 4096, 8192, 2 << 20, 64 << 20, 4096  # mpi_exchange.cpp, host_memory.cpp


def slot_of(ranks):
    return min(SLOT, MEMORY // (2 * (ranks + 1)) // PAGE * PAGE)


def rounds(bytes, local, element=4):
    """Pieces that go through a host's memory one after another."""
    if max(local) == 1:
        return [bytes] if bytes else []
    slot = min(slot_of(n) for n in local if n > 1) // element * element
    return [min(slot, bytes - at) for at in range(0, bytes, slot)]


def lanes_of(bytes, local):
    return max(1, min(bytes // (LANE * len(local)), min(local)))


def add(total, part):
    for key, value in part.items():
        total[key] = total.get(key, 0) + value
    return total


def sum_model(bytes, local):
    """All ranks together; `local`: ranks of each host. steps: what one rank waits for, one after another."""
    hosts, total = len(local), {"messages": 0, "message_bytes": 0, "meetings": 0, "shared_bytes": 0, "steps": 0}
    for piece in rounds(bytes, local):
        lanes = lanes_of(piece, local)
        lane_elements = piece // 4 / lanes
        whole = math.ceil(lane_elements) * 4 <= WHOLE
        if hosts > 1:
            exchanges = 1 if whole else 2
            add(total, {"messages": hosts * lanes * (hosts - 1) * exchanges, "steps": exchanges,
                        "message_bytes": (hosts - 1) * piece * (hosts if whole else 2)})
        for n in local:
            if n == 1:
                continue
            meetings = 1 if hosts == 1 and piece <= WHOLE else 3 if hosts > 1 and lanes != n else 2
            add(total, {"meetings": n * meetings, "shared_bytes": n * piece})
        if max(local) > 1:
            add(total, {"steps": max(1 if hosts == 1 and piece <= WHOLE else 3 if hosts > 1 and lanes != n else 2
                                     for n in local if n > 1)})
    return total


def pairs_model(bytes, ranks):
    """The way before: every rank exchanges messages with every other one."""
    exchanges = 1 if bytes <= WHOLE else 2
    return {"messages": ranks * (ranks - 1) * exchanges,
            "message_bytes": (ranks - 1) * bytes * (ranks if exchanges == 1 else 2), "steps": exchanges}


def gather_model(bytes, local):
    """Equal slices that make up `bytes`."""
    hosts, ranks = len(local), sum(local)
    total = {"messages": 0, "message_bytes": 0, "meetings": 0, "shared_bytes": 0}
    lanes = lanes_of(bytes, local)
    if hosts > 1:
        add(total, {"messages": hosts * lanes * math.ceil(math.log2(hosts)), "message_bytes": (hosts - 1) * bytes})
    for n in local:
        if n == 1:
            continue
        slot = slot_of(n)
        add(total, {"shared_bytes": n * bytes // ranks, "meetings": n * math.ceil(bytes // ranks / slot)})
        if hosts > 1:
            foreign = bytes * (ranks - n) // ranks
            add(total, {"shared_bytes": foreign, "meetings": n * math.ceil(math.ceil(foreign / lanes) / slot)})
    return total


def broadcast_model(bytes, local):
    hosts, total = len(local), {"messages": 0, "message_bytes": 0, "meetings": 0, "shared_bytes": 0}
    for piece in rounds(bytes, local, 1):
        add(total, {"messages": hosts - 1, "message_bytes": (hosts - 1) * piece})
        for n in local:
            if n > 1:
                add(total, {"meetings": n, "shared_bytes": piece})
    return total


def simulate_sum(bytes, calls, local, latency_s, wire_bytes_per_s, memory_bytes_per_s):
    """Sends every message of every rank. Returns counts (most of one rank, most of one wire) and the time of a network where a
    host sends and receives one byte after another, and messages of one exchange share their latency."""
    hosts = len(local)
    sent, out, seconds, turn = {}, [0] * hosts, 0.0, 0
    for piece in rounds(bytes, local) * calls:
        most_local = max(local)
        if most_local > 1:  # copied in, added up and copied out, all ranks of a host on one memory
            seconds += most_local * piece * 3 / memory_bytes_per_s
        if hosts == 1:
            continue
        lanes = lanes_of(piece, local)
        turn = (turn + lanes) % min(local) if lanes < min(local) else 0  # lanes go round
        exchanges = [[0] * hosts, [0] * hosts]
        for lane in range(lanes):
            length = (piece // 4 * (lane + 1) // lanes - piece // 4 * lane // lanes) * 4
            for host in range(hosts):
                for other in range(hosts):
                    if other == host:
                        continue
                    part = lambda h: (length // 4 * (h + 1) // hosts - length // 4 * h // hosts) * 4
                    for step, size in enumerate([length] if length <= WHOLE else [part(other), part(host)]):
                        key = (host, (lane + turn) % min(local))
                        sent[key] = sent.get(key, 0) + 1
                        out[host] += size
                        exchanges[step][host] += size
        seconds += sum(latency_s + max(one) / wire_bytes_per_s for one in exchanges if max(one))
    return {"messages": sum(sent.values()), "message_bytes": sum(out), "most_of_a_rank": max(sent.values(), default=0),
            "most_of_a_wire": max(out), "seconds": seconds}


def table(args):
    bucket, buckets = args.bucket_kib << 10, math.ceil(args.parameters * 4 / (args.bucket_kib << 10))
    print(f"{args.parameters:,} parameters as float32 in {buckets} buckets of {args.bucket_kib} KiB, {args.per_host} ranks a host; one step\n")
    print("| ranks | hosts | all pairs: messages a rank | MB out of a host | now: messages, busiest rank | MB out of a host | steps of a bucket | modelled s on the wires |")
    print("|---|---|---|---|---|---|---|---|")
    for ranks in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        local = [min(ranks, args.per_host)] * max(1, ranks // args.per_host)
        model, pairs = sum_model(bucket, local), pairs_model(bucket, ranks)
        found = simulate_sum(bucket, buckets, local, args.latency_us * 1e-6, args.gbit * 125e6, args.memory_gb * 1e9)
        for key in ("messages", "message_bytes"):
            assert found[key] == model[key] * buckets, (ranks, key, found[key], model[key])
        away = (ranks - local[0]) / max(1, ranks - 1)  # of a rank's messages, those that leave its host
        print(f"| {ranks:,} | {len(local)} | {pairs['messages'] // ranks * buckets:,} | "
              f"{pairs['message_bytes'] * away / len(local) * buckets / 1e6:,.0f} | {found['most_of_a_rank']:,} | "
              f"{found['most_of_a_wire'] / 1e6:,.0f} | {model['steps']} | {found['seconds']:.2f} |")


def check(path):
    run = json.load(open(path))
    local = run["hosts"]
    wrong = 0
    for row in run["results"]:
        n = row["bytes"]
        if row["collective"] == "all_reduce":
            model = sum_model(n, local)
        elif row["collective"] == "broadcast":
            model = broadcast_model(n, local)
        else:
            model = add(gather_model(8 * run["ranks"], local), gather_model(n, local))
        keys = ("messages", "message_bytes", "meetings", "shared_bytes")
        different = {key: (row[key], model[key]) for key in keys if row[key] != model[key]}
        wrong += bool(different)
        print(f"| {run['ranks']} | {len(local)} | {row['collective']} | {n:,} | " + " | ".join(f"{row[key]:,}" for key in keys) +
              f" | {'equal' if not different else different} |")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", nargs="+", default=[])
    for name, value in (("--parameters", 30_000_000), ("--bucket-kib", 1024), ("--per-host", 16)):
        parser.add_argument(name, type=int, default=value)
    for name, value in (("--latency-us", 30.0), ("--gbit", 10.0), ("--memory-gb", 10.0)):
        parser.add_argument(name, type=float, default=value)
    args = parser.parse_args()
    if args.check:
        sys.exit(1 if sum(check(path) for path in args.check) else 0)
    table(args)
