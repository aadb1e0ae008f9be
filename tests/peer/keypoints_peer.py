"""The network of a keypoints configuration in plain PyTorch, as a careful user would train it: the rival of the trainer.

    python keypoints_peer.py configs/keypoints.yaml --seconds 120 --threads 2

Same blocks, initial distribution, AdamW, schedule, batch and augmentation as the configuration; pictures in memory, convolutions in
the faster memory format. Prints one JSON object: pictures/s (median over blocks of warm updates), and after --seconds of training
the error on data.valid. Reading data and measuring at the end are not part of the time.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn as nn
import yaml

BLOCK_UPDATES = 10  # updates whose time is taken together


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--seconds", type=float, default=120, help="of training")
    parser.add_argument("--updates", type=int, default=0, help="ends earlier, after so many; 0: only time counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, help="replaces optimizer.lr")
    parser.add_argument("--beta2", type=float, help="replaces optimizer.beta2")
    parser.add_argument("--format", choices=["channels_last", "contiguous"], default="channels_last")
    parser.add_argument("--data", help="folder in place of the one that the configuration's relative paths start from")
    return parser.parse_args()


def settings_of(path):
    """A configuration over what it extends; maps merge, lists replace."""
    path = Path(path)
    own = yaml.safe_load(path.read_text()) or {}
    parent = own.pop("extends", None)
    if parent is None:
        return own
    name = parent if parent.endswith(".yaml") else parent + ".yaml"
    return merged(settings_of(path.parent / name), own)


def merged(base, own):
    result = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and value and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if both else value
    return result


class Faces:
    """Records of several files (data/images/README.md): pixels [N, H, W] u8, points [N, P, 2] in pixels, NaN: missing."""

    def __init__(self, paths):
        files = [h5py.File(path, "r") for path in paths]
        self.pixels = np.concatenate([f["pixels"][:] for f in files])
        self.points = np.concatenate([f["points"][:] for f in files])
        self.pairs = files[0]["flip_pairs"][:].astype(np.int64)
        self.names = bytes(files[0]["point_names"][:]).decode().splitlines()
        self.height, self.width = self.pixels.shape[1:]
        eyes = [self.points[:, self.names.index(name)] for name in ("left_eye_center", "right_eye_center")]
        distance = np.linalg.norm(eyes[0] - eyes[1], axis=1)
        self.eye_distance = np.where(distance >= 0.05 * self.width, distance, 0.375 * self.width)

    def half_sides(self):
        return np.array([self.width / 2, self.height / 2], np.float32)

    def batch(self, rows, augment=None, random=None):
        pixels, points = self.pixels[rows], self.points[rows]
        if augment is not None:
            pixels, points = augmented(self, pixels, points, augment, random)
        half = self.half_sides()
        targets = torch.from_numpy((points - half) / half).flatten(1)
        known = ~torch.isnan(targets)
        x = torch.from_numpy(np.ascontiguousarray(pixels)).unsqueeze(1).float().div_(255)
        return x, torch.nan_to_num(targets), known.float()


def augmented(faces, pixels, points, options, random):
    """Mirrors, shifts and relights a batch; what data/images/augment.cpp does, with other random numbers."""
    count, (height, width) = len(pixels), pixels.shape[1:]
    mirrored = random.random(count) < options.get("mirror_probability", 0.5)
    pixels, points = pixels.copy(), points.copy()
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    points[mirrored, :, 0] = width - points[mirrored, :, 0]
    order = np.arange(points.shape[1])
    for one, other in faces.pairs:
        order[one], order[other] = other, one
    points[mirrored] = points[mirrored][:, order]
    most = options.get("max_shift_px", 4)
    shifts = random.integers(-most, most + 1, (count, 2))
    padded = np.pad(pixels, ((0, 0), (most, most), (most, most)), mode="edge")
    for n, (right, down) in enumerate(shifts):
        pixels[n] = padded[n, most - down : most - down + height, most - right : most - right + width]
    points += shifts[:, None]
    outside = (points < 0) | (points > np.array([width, height], np.float32))
    points[outside.any(axis=2)] = np.nan
    contrast = 1 + options.get("max_contrast", 0.25) * random.uniform(-1, 1, (count, 1))
    brightness = 255 * options.get("max_brightness", 0.1) * random.uniform(-1, 1, (count, 1))
    # A table for each picture: there are 256 values.
    table = np.rint(np.clip((np.arange(256) - 127.5) * contrast + 127.5 + brightness, 0, 255)).astype(np.uint8)
    flat = np.take_along_axis(table, pixels.reshape(count, -1).astype(np.int64), axis=1)
    return flat.reshape(pixels.shape), points


class PositionNorm(nn.Module):
    """Layer norm over the channels of each position."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-5)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def norm_of(kind, channels, is_picture):
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return nn.BatchNorm2d(channels) if is_picture else nn.BatchNorm1d(channels)
    if kind == "layer":
        return PositionNorm(channels) if is_picture else nn.LayerNorm(channels, eps=1e-5)
    raise ValueError(f"norm {kind} is not written here")


class Network(nn.Module):
    """conv2d, max_pool2d and dense of models/README.md, then the linear head; `dense` flattens the picture."""

    def __init__(self, blocks, width, height, outputs):
        super().__init__()
        layers, channels, is_flat = [], 1, False
        for block in blocks:
            kind, norm, dropout = block["type"], block.get("norm", "layer"), block.get("dropout", 0)
            activation = {"relu": nn.ReLU(inplace=True), "silu": nn.SiLU(inplace=True), "none": nn.Identity()}
            end = [activation[block.get("activation", "relu")]] + ([nn.Dropout(dropout)] if dropout else [])
            if kind == "max_pool2d":
                size = block.get("size", 2)
                stride = block.get("stride", size)
                layers.append(nn.MaxPool2d(size, stride))
                width, height = (width - size) // stride + 1, (height - size) // stride + 1
            elif kind == "conv2d":
                kernel, stride = block.get("kernel", 3), block.get("stride", 1)
                padding = kernel // 2 if block.get("padding") == "same" else 0
                layers.append(nn.Conv2d(channels, block.get("channels", 32), kernel, stride, padding))
                channels = block.get("channels", 32)
                layers += [norm_of(norm, channels, True)] + end
                width, height = [(side + 2 * padding - kernel) // stride + 1 for side in (width, height)]
            elif kind == "dense":
                inputs = channels if is_flat else channels * width * height
                layers += [] if is_flat else [nn.Flatten()]
                channels, is_flat = block.get("units", 100), True
                layers += [nn.Linear(inputs, channels), norm_of(norm, channels, False)] + end
            else:
                raise ValueError(f"block {kind} is not written here")
        layers.append(nn.Linear(channels, outputs))
        self.layers = nn.Sequential(*layers)
        self.reset()

    def reset(self):
        weighted = [m for m in self.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        for module in weighted:
            gain = 1 if module is weighted[-1] else 2
            bound = math.sqrt(3 * gain / module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.layers(x)


def optimizer_of(network, options):
    matrices = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": options["weight_decay"]}, {"params": others, "weight_decay": 0}]
    betas = (options["beta1"], options["beta2"])
    return torch.optim.AdamW(groups, lr=options["lr"], betas=betas, eps=options["eps"], fused=True)


def rate_at(share, options, schedule):
    """Warm-up and cosine of the budget; `constant` stays."""
    warmup = schedule["warmup_share"]
    if share < warmup:
        return options["lr"] * share / warmup
    if schedule["type"] == "constant":
        return options["lr"]
    t = min(1.0, (share - warmup) / (1 - warmup))
    final = schedule["final_lr_share"]
    return options["lr"] * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * t)))


def train(network, faces, config, arguments):
    optimizer = optimizer_of(network, config["optimizer"])
    augment = config.get("task", {}).get("augment", {})
    batch = int(config["batch"].get("cost") or config["batch"]["seconds"])
    random = np.random.default_rng(arguments.seed)
    order, block_times = [], []
    network.train()
    start = block_start = time.perf_counter()
    updates = 0
    while True:
        elapsed = time.perf_counter() - start
        is_done = elapsed >= arguments.seconds or 0 < arguments.updates <= updates
        if is_done:
            return updates, elapsed, batch, block_times
        if len(order) < batch:
            order = np.concatenate([order, random.permutation(len(faces.pixels))]).astype(np.int64)
        rows, order = order[:batch], order[batch:]
        x, targets, known = faces.batch(rows, augment, random)
        if arguments.format == "channels_last":
            x = x.contiguous(memory_format=torch.channels_last)
        share = updates / arguments.updates if arguments.updates else elapsed / arguments.seconds
        for group in optimizer.param_groups:
            group["lr"] = rate_at(share, config["optimizer"], config["schedule"])
        loss = ((network(x) - targets).square() * known).sum() / known.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if config["optimizer"]["clip_norm"] > 0:
            nn.utils.clip_grad_norm_(network.parameters(), config["optimizer"]["clip_norm"])
        optimizer.step()
        updates += 1
        if updates % BLOCK_UPDATES == 0:
            now = time.perf_counter()
            block_times.append(now - block_start)
            block_start = now


@torch.no_grad()
def measure(network, faces):
    network.eval()
    squares = coordinates = 0.0
    errors = []
    half = faces.half_sides()
    for first in range(0, len(faces.pixels), 200):
        rows = np.arange(first, min(first + 200, len(faces.pixels)))
        x, targets, known = faces.batch(rows)
        predicted = network(x)
        squares += float(((predicted - targets).double().square() * known).sum())
        coordinates += float(known.sum())
        pixels = predicted.numpy().reshape(len(rows), -1, 2) * half + half
        distance = np.linalg.norm(pixels - faces.points[rows], axis=2)
        errors += list(np.minimum(1, np.nanmean(distance, axis=1) / faces.eye_distance[rows]))
    return squares / coordinates, float(np.mean(errors))


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    config = settings_of(arguments.config)
    for key in ("lr", "beta2"):
        if getattr(arguments, key) is not None:
            config["optimizer"][key] = getattr(arguments, key)
    folder = Path(arguments.data or ".")
    faces, held_out = [Faces([folder / path for path in config["data"][key]]) for key in ("train", "valid")]
    network = Network(config["model"]["blocks"], faces.width, faces.height, 2 * len(faces.names))
    if arguments.format == "channels_last":
        network = network.to(memory_format=torch.channels_last)
    updates, elapsed, batch, block_times = train(network, faces, config, arguments)
    mse, error = measure(network, held_out)
    warm = block_times[2:] or block_times
    speed = batch * BLOCK_UPDATES / statistics.median(warm) if warm else batch * updates / elapsed
    print(json.dumps({
        "config": arguments.config, "threads": arguments.threads, "format": arguments.format,
        "parameters": sum(p.numel() for p in network.parameters()), "updates": updates, "batch": batch,
        "seconds": round(elapsed, 2), "pictures_per_second": round(speed, 1),
        "pictures_per_second_overall": round(batch * updates / elapsed, 1), "mse": mse, "error": error,
        "lr": config["optimizer"]["lr"], "beta2": config["optimizer"]["beta2"], "torch": torch.__version__}))


if __name__ == "__main__":
    main()
