"""PyTorch DDP on the same experiment file: `python train.py CONFIG --out FOLDER [--set key=value ...]`."""

import argparse
import contextlib
import json
import math
import os
import shutil
import socket
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
import yaml
from torch.nn.parallel import DistributedDataParallel

import model as acoustic
import settings
from corpus import CACHES, Batches, BatchPlans, read_manifests, usable
from evaluation import evaluate
from features import FrontEnd
from text import load_tokenizer


# Freed activations stay with the process instead of going back to the kernel at every step.
MALLOC = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296:glibc.malloc.top_pad=268435456"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("--out", required=True, help="folder for result.json, metrics.jsonl and the checkpoint")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="compute threads per rank")
    parser.add_argument("--workers", type=int, default=1, help="loader processes per rank")
    parser.add_argument("--cache", choices=list(CACHES), default="features", help="what is kept in memory")
    parser.add_argument("--form", choices=["btc", "bct"], default="btc", help="channels last or Conv1d")
    parser.add_argument("--sampling", choices=["balanced", "shuffle"], default="balanced")
    parser.add_argument("--mixing", choices=["spread", "adjacent"], default="spread")
    parser.add_argument("--accumulate", type=int, default=2, help="batches per rank and update")
    parser.add_argument("--pool", type=int, default=8, help="updates that are bucketed by length together")
    parser.add_argument("--normalizer", choices=["tokens", "utterances"], default="tokens", help="of the loss sum")
    parser.add_argument("--bf16", action="store_true", help="autocast of the forward pass to bfloat16")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: a GPU per rank, NCCL, TF32 products")
    return parser.parse_args()


class Schedule:
    """Learning rate as a function of the spent share of the budget."""

    def __init__(self, config):
        options = config.get("schedule", {})
        self.type = options.get("type", "cosine")
        self.warmup = options.get("warmup_share", 0.05)
        self.final = options.get("final_lr_share", 0.0)
        self.hold = options.get("hold_share", 0.7)
        self.peak = config["optimizer"].get("lr", 0.002)

    def __call__(self, share):
        if share < self.warmup:
            return self.peak * share / self.warmup
        t = (share - self.warmup) / max(1e-9, 1.0 - self.warmup)
        if self.type == "constant":
            return self.peak
        if self.type == "inverse_sqrt":
            return self.peak * math.sqrt(self.warmup / max(share, 1e-9)) if self.warmup > 0 else self.peak
        if self.type == "hold":
            t = max(0.0, (share - self.hold) / max(1e-9, 1.0 - self.hold))
        falling = 0.5 * (1 + math.cos(math.pi * t)) if self.type == "cosine" else 1.0 - t
        return self.peak * (self.final + (1 - self.final) * falling)


def make_optimizer(model, options):
    """Fused; biases and norms do not decay."""
    decayed = [p for name, p in model.named_parameters() if not acoustic.is_plain(name)]
    plain = [p for name, p in model.named_parameters() if acoustic.is_plain(name)]
    decay = options.get("weight_decay", 0.01)
    groups = [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
    if options.get("type", "adamw") == "sgd":
        return torch.optim.SGD(groups, lr=options["lr"], momentum=options.get("momentum", 0.9),
                               nesterov=options.get("nesterov", False), fused=True)
    betas = (options.get("beta1", 0.9), options.get("beta2", 0.98))
    return torch.optim.AdamW(groups, lr=options["lr"], betas=betas, eps=float(options.get("eps", 1e-8)), fused=True)


class Clock:
    """Spent share of the budget, the same number on every rank."""

    def __init__(self, budget):
        self.seconds, self.steps = budget.get("minutes", 0) * 60.0, budget.get("steps", 0)
        if not (self.seconds or self.steps):
            raise ValueError("budget: expected minutes or steps; found neither")
        self.start = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self.start

    def share(self, step):
        share = torch.tensor([max(self.elapsed() / self.seconds if self.seconds else 0.0,
                                  step / self.steps if self.steps else 0.0)], dtype=torch.float64)
        dist.broadcast(share, 0)
        return float(share)


def ctc_loss_sum(logits, lengths, batch):
    """lengths on the host: on a GPU the loss would wait for it to fetch them."""
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(log_probs, batch.targets, lengths, batch.target_lengths, blank=logits.shape[2] - 1,
                      reduction="sum")


class Meter:
    """Sums of one rank; normalizer is that of all ranks."""

    def __init__(self):
        self.loss, self.normalizer, self.seconds, self.padded = 0.0, 0.0, 0.0, 0.0

    def add(self, loss, batch, hop_s):
        self.loss += loss  # a tensor: a float would wait for the device
        self.normalizer += batch.plan.normalizer if batch.plan.num_left == 1 else 0.0
        self.seconds += batch.seconds
        self.padded += batch.x.shape[0] * batch.x.shape[1] * hop_s


def train(model, loader, config, arguments, log):
    """Runs until the budget is spent; returns totals."""
    ddp = DistributedDataParallel(model, gradient_as_bucket_view=True, static_graph=arguments.accumulate == 1,
                                  broadcast_buffers=False)
    optimizer = make_optimizer(model, config["optimizer"])
    schedule, clip = Schedule(config), config["optimizer"].get("clip_norm", 1.0)
    world, step = dist.get_world_size(), 0
    hop_s = config["features"].get("hop_ms", 10) / 1000
    meter, totals = Meter(), Meter()
    model.train()
    device = next(model.parameters()).device
    batches = iter(loader)
    clock = Clock(config["budget"])
    last = 0.0
    while (share := clock.share(step)) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = schedule(share)
        is_last = False
        while not is_last:
            batch = next(batches)
            is_last = batch.plan.num_left == 1
            with contextlib.nullcontext() if is_last else ddp.no_sync():
                with torch.autocast(device.type, torch.bfloat16, enabled=arguments.bf16):
                    logits, _ = ddp(batch.x.to(device, non_blocking=True), batch.lengths.to(device, non_blocking=True))
                batch.targets = batch.targets.to(device, non_blocking=True)
                loss = ctc_loss_sum(logits, torch.tensor([model.num_frames(int(n)) for n in batch.lengths]), batch)
                (loss * (world / batch.plan.normalizer)).backward()  # DDP averages over ranks
            meter.add(loss.detach(), batch, hop_s)
            totals.add(loss.detach(), batch, hop_s)
        if clip > 0:
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        step += 1
        if step % config.get("log", {}).get("every_steps", 10) == 0:
            elapsed = clock.elapsed()
            sums = torch.tensor([float(meter.loss), meter.seconds, meter.padded], dtype=torch.float64)
            dist.all_reduce(sums)
            log({"step": step, "minutes": elapsed / 60, "loss": float(sums[0]) / meter.normalizer,
                 "lr": schedule(share), "gradient_norm": float(norm) if clip > 0 else None,
                 "audio_s_per_s": float(sums[1]) / (elapsed - last), "padding": 1 - float(sums[1] / sums[2])})
            last, meter = elapsed, Meter()
    elapsed = clock.elapsed()
    sums = torch.tensor([totals.seconds, totals.padded], dtype=torch.float64)
    dist.all_reduce(sums)
    return {"steps": step, "minutes": elapsed / 60, "audio_s_per_s": float(sums[0]) / elapsed,
            "padded_audio_s_per_s": float(sums[1]) / elapsed}


def run_rank(rank, arguments, config, port, utterances, cache, valid, valid_cache):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    device = torch.device(arguments.device, rank) if arguments.device == "cuda" else torch.device("cpu")
    backend = "gloo"
    if device.type == "cuda":
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    dist.init_process_group(backend, rank=rank, world_size=arguments.ranks)
    torch.manual_seed(config.get("seed", 1))
    tokenizer, front_end = load_tokenizer(config["data"]["tokenizer"]), FrontEnd(config["features"])
    model = acoustic.AcousticModel(config["model"]["blocks"], front_end.channels, len(tokenizer), arguments.form)
    model.to(device)
    torch.manual_seed(config.get("seed", 1) * 1000 + rank)
    plans = BatchPlans(utterances, config["batch"]["seconds"], rank, arguments.ranks, arguments, config.get("seed", 1))
    dataset = Batches(utterances, cache, config["features"].get("spec_augment"))
    loader = torch.utils.data.DataLoader(dataset, sampler=plans, batch_size=None, num_workers=arguments.workers,
                                         pin_memory=device.type == "cuda",
                                         prefetch_factor=4 if arguments.workers else None)
    out = Path(arguments.out)

    def log(entry):
        if rank == 0:
            line = json.dumps(entry)
            print(line, flush=True)
            with open(out / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(line + "\n")

    result = train(model, loader, config, arguments, log)
    scores = evaluate(model, Batches(valid, valid_cache), tokenizer, config)
    if rank == 0:
        result = {**scores, **result, "seed": config.get("seed", 1), "arguments": vars(arguments),
                  "parameters": sum(p.numel() for p in model.parameters()), "torch": torch.__version__}
        (out / "result.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        acoustic.save(model, out / "model.safetensors")
        (out / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        source = Path(config["data"]["tokenizer"])
        shutil.copyfile(source, out / f"tokenizer{source.suffix}")
        rows = [f"{s['domain']}: CER {100 * s['cer']:.2f} WER {100 * s['wer']:.2f}" for s in result["sets"]]
        print("\n".join([*rows, f"macro CER {100 * result['macro_cer']:.2f} %, {result['steps']} steps, "
                                f"{result['audio_s_per_s']:.1f} audio-s/s"]), flush=True)
    dist.barrier()
    dist.destroy_process_group()


def main():
    arguments = parse_arguments()
    config = settings.load(arguments.config, arguments.set)
    if config["data"].get("augment"):
        raise ValueError("data.augment: expected an empty list; this program has masks on features only")
    tokenizer, front_end = load_tokenizer(config["data"]["tokenizer"]), FrontEnd(config["features"])
    model = acoustic.AcousticModel(config["model"]["blocks"], front_end.channels, len(tokenizer))
    normalizer = config["data"].get("normalizer", "basic/1")
    utterances = usable(read_manifests(config["data"]["train"], normalizer, tokenizer), config["data"],
                        lambda n: model.num_frames(front_end.num_frames(n)))
    valid = read_manifests(config["data"]["valid"], normalizer, tokenizer)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.jsonl").write_text("", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.setdefault("GLIBC_TUNABLES", MALLOC)  # read when the ranks start
    caches = [CACHES[arguments.cache](part, front_end) for part in (utterances, valid)]
    mp.spawn(run_rank, (arguments, config, port, utterances, caches[0], valid, caches[1]), nprocs=arguments.ranks)


if __name__ == "__main__":
    main()
