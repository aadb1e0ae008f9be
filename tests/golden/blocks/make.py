"""Writes the golden files of blocks, front-ends and the CTC loss from plain PyTorch, after models/README.md alone.

Run with the pinned wheel: .deps/python/bin/python tests/golden/blocks/make.py
A file that exists stays as it is, since the last bits of a sum differ between processors; delete it to write it anew.
Every file holds float32 inputs, parameters, outputs and gradients; metadata holds the YAML line and the lengths.
"""
import json
import math
import pathlib
import struct
import zlib

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent


def write(name, tensors, metadata):
    path = HERE / f"{name}.safetensors"
    if path.exists():
        return
    header, data = {"__metadata__": metadata}, b""
    for key in sorted(tensors):
        raw = tensors[key].detach().float().contiguous().numpy().tobytes()
        header[key] = {"dtype": "F32", "shape": list(tensors[key].shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def mask_of(lengths, frames):
    return (torch.arange(frames)[None, :] < torch.tensor(lengths)[:, None]).double()[:, :, None]


def strided(lengths, stride):
    return [(n - 1) // stride + 1 if n > 0 else 0 for n in lengths]


class Parameters:
    """Creates parameters on first use, so that the reference code below reads like the definition."""

    def __init__(self):
        self.values = {}

    def __call__(self, name, *shape):
        if name not in self.values:
            spread = 0.4 if len(shape) == 1 else 1 / math.sqrt(shape[-1])
            value = torch.randn(*shape).double() * spread
            if "norm" in name and name.endswith("weight"):
                value = value + 1
            self.values[name] = value.float().double().requires_grad_(True)
        return self.values[name]


def activate(x, kind):
    return {"relu": torch.relu, "silu": F.silu, "none": lambda same: same}[kind](x)


def norm(p, prefix, x, lengths, kind, groups=1):
    if kind == "none":
        return x
    channels = x.shape[2]
    weight, bias = p(prefix + ".weight", channels), p(prefix + ".bias", channels)
    if kind == "layer":
        return F.layer_norm(x, (channels,), weight, bias, 1e-5)
    rows = [x[b, :n] for b, n in enumerate(lengths)]
    if kind == "group":
        normed = [F.group_norm(r.T[None], groups, weight, bias, 1e-5)[0].T for r in rows]
    else:
        y = F.batch_norm(torch.cat(rows), None, None, weight, bias, True, 0.1, 1e-5)
        normed = torch.split(y, lengths)
    return torch.stack([F.pad(r, (0, 0, 0, x.shape[1] - r.shape[0])) for r in normed])


def conv(p, prefix, x, lengths, o):
    inputs, kernel, stride = x.shape[2], o["kernel"], o["stride"]
    weight = p(prefix + "conv.weight", o["channels"], kernel, inputs)
    y = F.conv1d(x.transpose(1, 2), weight.transpose(1, 2), p(prefix + "conv.bias", o["channels"]), stride, kernel // 2)
    lengths = strided(lengths, stride)
    y = norm(p, prefix + "norm", y.transpose(1, 2), lengths, o["norm"], o.get("groups", 1))
    return activate(y, o["activation"]) * mask_of(lengths, y.shape[1]), lengths


def subsample(p, prefix, x, lengths, o):
    for i in range(int(math.log2(o["factor"]))):
        x, lengths = conv(p, f"{prefix}layers.{i}.", x, lengths, {**o, "stride": 2})
    return x, lengths


def separable(p, prefix, x, lengths, o):
    shortcut, first_lengths, channels = x, lengths, o["channels"]
    for r in range(o["repeat"]):
        strided_one = o["repeat"] - 1 if o.get("stride_at") == "last" else 0
        stride, inputs, kernel = (o["stride"] if r == strided_one else 1), x.shape[2], o["kernel"]
        taps = p(f"{prefix}depthwise.{r}.weight", kernel, inputs)
        y = F.conv1d(x.transpose(1, 2), taps.T[:, None], None, stride, o["dilation"] * (kernel - 1) // 2, o["dilation"], inputs)
        lengths = strided(lengths, stride)
        y = F.linear(y.transpose(1, 2), p(f"{prefix}pointwise.{r}.weight", channels, inputs), p(f"{prefix}pointwise.{r}.bias", channels))
        mask = mask_of(lengths, y.shape[1])
        x = norm(p, f"{prefix}norm.{r}", y, lengths, o["norm"], o.get("groups", 1)) * mask
        if r + 1 < o["repeat"]:
            x = activate(x, o["activation"]) * mask
    if o["squeeze_excite"]:
        small = channels // o["squeeze_excite"]
        mean = torch.stack([x[b, :n].mean(0) for b, n in enumerate(lengths)])
        hidden = torch.relu(F.linear(mean, p(prefix + "squeeze.weight", small, channels), p(prefix + "squeeze.bias", small)))
        gate = torch.sigmoid(F.linear(hidden, p(prefix + "excite.weight", channels, small), p(prefix + "excite.bias", channels)))
        x = x * gate[:, None]
    if o["residual"]:
        if shortcut.shape[2] != channels or o["stride"] != 1:
            shortcut = F.linear(shortcut[:, :: o["stride"]], p(prefix + "residual.weight", channels, shortcut.shape[2]), p(prefix + "residual.bias", channels))
        x = x + shortcut
    return activate(x, o["activation"]) * mask, lengths


def rotate(x):
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2]).double()[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1)


def transformer(p, prefix, x, lengths, o):
    channels, heads, ff = x.shape[2], o["heads"], o["ff"]
    mask = mask_of(lengths, x.shape[1])

    def linear(name, x, outputs):
        return F.linear(x, p(name + ".weight", outputs, x.shape[-1]), p(name + ".bias", outputs))

    for layer in range(o["layers"]):
        name = f"{prefix}layers.{layer}."
        qkv = linear(name + "qkv", norm(p, name + "attention_norm", x, lengths, "layer"), 3 * channels)
        q, k, v = [t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in qkv.split(channels, -1)]
        scores = rotate(q) @ rotate(k).transpose(-1, -2) / math.sqrt(channels // heads)
        scores = scores.masked_fill(mask.squeeze(2)[:, None, None] == 0, -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = (x + linear(name + "out", mixed, channels)) * mask
        hidden = activate(linear(name + "ff1", norm(p, name + "ff_norm", x, lengths, "layer"), ff), o["activation"])
        x = (x + linear(name + "ff2", hidden, channels)) * mask
    return norm(p, prefix + "final_norm", x, lengths, "layer") * mask, lengths


def picture_of(x, width):
    """[B, T, W c] -> [B, c, T, W]."""
    return x.unflatten(2, (width, -1)).permute(0, 3, 1, 2)


def windows(lengths, kernel, padding, stride):
    return [(n + 2 * padding - kernel) // stride + 1 if n > 0 and n + 2 * padding >= kernel else 0 for n in lengths]


def conv2d(p, prefix, x, lengths, o):
    channels, kernel = o["channels"], o["kernel"]
    padding = kernel // 2 if o["padding"] == "same" else 0
    picture = picture_of(x, o["width"])
    weight = p(prefix + "conv.weight", channels, kernel, kernel, picture.shape[1])
    y = F.conv2d(picture, weight.permute(0, 3, 1, 2), p(prefix + "conv.bias", channels), o["stride"], padding)
    lengths, width = windows(lengths, kernel, padding, o["stride"]), y.shape[3]
    positions = y.permute(0, 2, 3, 1).flatten(1, 2)  # [B, T' W', O]
    y = norm(p, prefix + "norm", positions, [n * width for n in lengths], o["norm"], o.get("norm_groups", 1))
    y = activate(y, o["activation"]).unflatten(1, (-1, width)).flatten(2)
    return y * mask_of(lengths, y.shape[1]), lengths


def max_pool2d(p, prefix, x, lengths, o):
    y = F.max_pool2d(picture_of(x, o["width"]), o["size"], o["stride"]).permute(0, 2, 3, 1).flatten(2)
    lengths = windows(lengths, o["size"], 0, o["stride"])
    return y * mask_of(lengths, y.shape[1]), lengths


def dense(p, prefix, x, lengths, o):
    lengths, groups = [n // o["frames"] for n in lengths], x.shape[1] // o["frames"]
    x = x[:, : groups * o["frames"]].reshape(x.shape[0], groups, -1)
    y = F.linear(x, p(prefix + "dense.weight", o["units"], x.shape[2]), p(prefix + "dense.bias", o["units"]))
    y = norm(p, prefix + "norm", y, lengths, o["norm"], o.get("norm_groups", 1))
    return activate(y, o["activation"]) * mask_of(lengths, groups), lengths


def states_of(gates, weight, bias, cell):
    """States [T, H] of one utterance from what its input gives to each gate [T, G · H], by PyTorch's own cells."""
    units, width = weight.shape[1], weight.shape[0]
    if cell == "clipped_relu":
        state, states = torch.zeros(units).double(), []
        for row in gates:
            state = torch.clamp(row + F.linear(state, weight, bias), 0, 20)
            states.append(state)
        return torch.stack(states)
    weights = [torch.eye(width).double(), weight, torch.zeros(width).double(), bias]
    start = torch.zeros(1, 1, units).double()
    if cell == "lstm":
        return torch._VF.lstm(gates[None], (start, start), weights, True, 1, 0.0, False, False, True)[0][0]
    run = torch._VF.gru if cell == "gru" else torch._VF.rnn_tanh
    return run(gates[None], start, weights, True, 1, 0.0, False, False, True)[0][0]


def recurrent(p, prefix, x, lengths, o):
    units, cell = o["units"], o.get("activation", "tanh") if o["cell"] == "rnn" else o["cell"]
    width = {"gru": 3, "lstm": 4}.get(cell, 1) * units
    for l in range(o["layers"]):
        sides = []
        for side in ("forward", "backward")[: 2 if o["bidirectional"] else 1]:
            name = f"{prefix}layers.{l}.{side}."
            gates = F.linear(x, p(name + "input.weight", width, x.shape[2]), p(name + "input.bias", width))
            gates = norm(p, name + "norm", gates, lengths, o["norm"])
            weight, bias = p(name + "recurrent.weight", width, units), p(name + "recurrent.bias", width)
            rows = [gates[b, :n] for b, n in enumerate(lengths)]
            if side == "backward":
                rows = [states_of(row.flip(0), weight, bias, cell).flip(0) for row in rows]
            else:
                rows = [states_of(row, weight, bias, cell) for row in rows]
            sides.append(torch.stack([F.pad(row, (0, 0, 0, x.shape[1] - row.shape[0])) for row in rows]))
        x = sides[0] if len(sides) == 1 else sides[0] + sides[1] if o["merge"] == "sum" else torch.cat(sides, 2)
    if o.get("lookahead"):
        taps = p(prefix + "lookahead.weight", o["lookahead"] + 1, x.shape[2])
        ahead = F.pad(x, (0, 0, 0, o["lookahead"]))
        x = sum(ahead[:, j : j + x.shape[1]] * taps[j] for j in range(o["lookahead"] + 1))
    return x * mask_of(lengths, x.shape[1]), lengths


def half_feed_forward(p, name, x):
    channels = x.shape[2]
    y = F.layer_norm(x, (channels,), p(name + "norm.weight", channels), p(name + "norm.bias", channels), 1e-5)
    y = F.silu(F.linear(y, p(name + "up.weight", 2 * channels, channels), p(name + "up.bias", 2 * channels)))
    return 0.5 * F.linear(y, p(name + "down.weight", channels, 2 * channels), p(name + "down.bias", channels))


def relative_attention(p, name, x, lengths, heads):
    """Utterance by utterance and pair by pair of frames, as the definition reads."""
    channels = x.shape[2]
    size = channels // heads
    qkv = F.linear(x, p(name + "qkv.weight", 3 * channels, channels), p(name + "qkv.bias", 3 * channels))
    to_key = p(name + "position.weight", channels, channels)
    content, position = p(name + "content_bias", heads, size), p(name + "position_bias", heads, size)
    rates = 10000.0 ** (-torch.arange(channels // 2).double() / (channels // 2))
    out = torch.zeros_like(x)
    for b, n in enumerate(lengths):
        q, k, v = (part.view(n, heads, size) for part in qkv[b, :n].chunk(3, 1))
        distance = (torch.arange(n)[:, None] - torch.arange(n)[None, :]).double()
        angles = distance[:, :, None] * rates
        sinusoids = torch.stack([angles.sin(), angles.cos()], 3).flatten(2)  # [n, n, C]
        keys = F.linear(sinusoids, to_key).view(n, n, heads, size)
        scores = torch.einsum("ihd,jhd->hij", q + content, k) + torch.einsum("ihd,ijhd->hij", q + position, keys)
        mixed = torch.einsum("hij,jhd->ihd", (scores / math.sqrt(size)).softmax(2), v).reshape(n, channels)
        out[b, :n] = F.linear(mixed, p(name + "out.weight", channels, channels), p(name + "out.bias", channels))
    return out


def conformer(p, prefix, x, lengths, o):
    channels, kernel = x.shape[2], o["kernel"]
    mask = mask_of(lengths, x.shape[1])
    assert o["ff"] == 2 * channels
    plain = lambda name, y: F.layer_norm(y, (channels,), p(name + ".weight", channels), p(name + ".bias", channels), 1e-5)
    for l in range(o["layers"]):
        name = f"{prefix}layers.{l}."
        x = (x + half_feed_forward(p, name + "ff_in.", x)) * mask
        x = x + relative_attention(p, name + "attention.", plain(name + "attention_norm", x), lengths, o["heads"])
        y = plain(name + "conv.norm", x)
        y = F.linear(y, p(name + "conv.up.weight", 2 * channels, channels), p(name + "conv.up.bias", 2 * channels))
        y = (y[:, :, :channels] * torch.sigmoid(y[:, :, channels:]) * mask).transpose(1, 2)
        taps = p(name + "conv.depthwise.weight", kernel, channels).T[:, None]
        y = F.conv1d(y, taps, p(name + "conv.depthwise.bias", channels), padding=kernel // 2, groups=channels)
        y = F.silu(norm(p, name + "conv.inner_norm", y.transpose(1, 2), lengths, o["norm"]))
        y = F.linear(y, p(name + "conv.down.weight", channels, channels), p(name + "conv.down.bias", channels))
        x = (x + y) * mask
        x = plain(name + "norm", x + half_feed_forward(p, name + "ff_out.", x)) * mask
    return x, lengths


BLOCKS = {"conformer": conformer, "recurrent": recurrent, "conv": conv, "subsample": subsample, "separable": separable, "transformer": transformer, "conv2d": conv2d,
          "max_pool2d": max_pool2d, "dense": dense}
CONV = {"type": "conv", "channels": 8, "kernel": 5, "stride": 2, "norm": "layer", "activation": "relu"}
SUBSAMPLE = {"type": "subsample", "channels": 8, "factor": 4, "kernel": 3, "norm": "layer", "activation": "relu"}
SEPARABLE = {"type": "separable", "channels": 8, "kernel": 7, "stride": 1, "dilation": 1, "repeat": 1,
             "squeeze_excite": 4, "residual": True, "norm": "layer", "activation": "relu"}
TRANSFORMER = {"type": "transformer", "layers": 2, "heads": 2, "ff": 12, "activation": "silu"}
CONV2D = {"type": "conv2d", "width": 4, "channels": 6, "kernel": 2, "stride": 1, "padding": "valid", "norm": "layer", "activation": "relu"}
DENSE = {"type": "dense", "units": 6, "frames": 1, "norm": "layer", "activation": "relu"}
CASES = {
    "conv_layer": CONV,
    "conv_batch_silu": {**CONV, "norm": "batch", "stride": 1, "activation": "silu"},
    "conv_group": {**CONV, "norm": "group", "groups": 2},
    "conv_none": {**CONV, "norm": "none", "kernel": 1, "stride": 3},
    "subsample": SUBSAMPLE,
    "separable": SEPARABLE,
    "separable_strided": {**SEPARABLE, "channels": 12, "stride": 2, "repeat": 2, "activation": "silu"},
    "separable_dilated": {**SEPARABLE, "dilation": 3, "squeeze_excite": 0, "residual": False, "norm": "batch"},
    "transformer": TRANSFORMER,
}
# One random stream runs through the cases above, the front-ends and the CTC loss: append nothing there. A new case goes
# here, where each has a stream of its own, and leaves all other files as they are.
RECURRENT = {"type": "recurrent", "cell": "gru", "layers": 1, "units": 6, "bidirectional": True, "merge": "concat", "norm": "layer"}
CONFORMER = {"type": "conformer", "layers": 1, "heads": 2, "ff": 16, "kernel": 5, "positions": "relative", "norm": "batch"}
LATER_CASES = {
    "conformer": CONFORMER,
    "conformer_layer_norm": {**CONFORMER, "layers": 2, "norm": "layer"},
    "recurrent_gru": RECURRENT,
    "recurrent_gru_deep": {**RECURRENT, "layers": 2, "merge": "sum", "norm": "none", "lookahead": 2},
    "recurrent_lstm": {**RECURRENT, "cell": "lstm", "norm": "batch"},
    "recurrent_ahead": {"type": "recurrent", "cell": "lstm", "layers": 2, "units": 6, "bidirectional": False, "norm": "none", "lookahead": 1},
    "recurrent_rnn": {**RECURRENT, "cell": "rnn", "norm": "none"},
    "recurrent_clipped": {**RECURRENT, "cell": "rnn", "activation": "clipped_relu"},
    "separable_residual_alone": {**SEPARABLE, "squeeze_excite": 0, "repeat": 2},
    "separable_strided_last": {**SEPARABLE, "stride": 2, "stride_at": "last", "repeat": 3, "norm": "batch"},
    "transformer_relu": {**TRANSFORMER, "layers": 1, "heads": 4, "activation": "relu"},
    "conv2d_valid": {**CONV2D, "norm": "none"},
    "conv2d_same": {**CONV2D, "kernel": 3, "stride": 2, "padding": "same", "activation": "silu"},
    "conv2d_batch": {**CONV2D, "kernel": 3, "stride": 2, "norm": "batch", "activation": "none"},
    "conv2d_group": {**CONV2D, "width": 8, "norm": "group", "norm_groups": 3},
    "max_pool2d": {"type": "max_pool2d", "width": 4, "size": 2, "stride": 2},
    "max_pool2d_overlapping": {"type": "max_pool2d", "width": 8, "size": 3, "stride": 1},
    "dense": DENSE,
    "dense_frames": {**DENSE, "frames": 5, "norm": "none", "activation": "none"},
}


def make_block(name, options):
    lengths, frames, inputs = [19, 26, 7], 26, 8
    x = (torch.randn(3, frames, inputs).double() * mask_of(lengths, frames)).float().double().requires_grad_(True)
    p = Parameters()
    y, out_lengths = BLOCKS[options["type"]](p, "", x, lengths, options)
    upstream = torch.randn(y.shape).double() * mask_of(out_lengths, y.shape[1])
    upstream = upstream.float().double()
    (y * upstream).sum().backward()
    tensors = {"input": x, "output": y, "upstream": upstream, "input_gradient": x.grad * mask_of(lengths, frames)}
    for key, value in p.values.items():
        tensors["parameter." + key] = value
        tensors["gradient." + key] = value.grad
    write("block_" + name, tensors, {"yaml": json.dumps(options), "lengths": json.dumps(lengths), "output_lengths": json.dumps(out_lengths)})


def frames_of(samples):
    padded = F.pad(samples, (200, 200))
    window = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(400).double() / 400)
    return torch.stack([padded[t * 160: t * 160 + 400] * window for t in range(len(samples) // 160 + 1)])


def mel_filters(channels):
    mel = lambda hz: 2595 * math.log10(1 + hz / 700)
    edges = [700 * (10 ** (mel(8000) * i / (channels + 1) / 2595) - 1) for i in range(channels + 2)]
    filters = torch.zeros(257, channels).double()
    for m in range(channels):
        for b in range(257):
            hz = b * 16000 / 512
            filters[b, m] = max(0, min((hz - edges[m]) / (edges[m + 1] - edges[m]), (edges[m + 2] - hz) / (edges[m + 2] - edges[m + 1])))
    return filters


def make_features(kind, channels, sizes):
    time = torch.arange(max(sizes)).double()
    samples = torch.stack([0.3 * torch.sin(time * time * (0.0001 + 0.00005 * b)) + 0.1 * torch.randn(len(time)).double() for b in range(len(sizes))])
    samples = samples.float().double()
    tensors = {"samples": samples}
    for b, size in enumerate(sizes):
        spectrum = torch.fft.rfft(frames_of(samples[b, :size]), 512).abs()
        x = (spectrum ** 2 @ mel_filters(channels)).clamp_min(1e-10).log() if kind == "log_mel" else spectrum.clamp_min(1e-5).log()
        tensors[f"features.{b}"] = (x - x.mean(0)) / (x.std(0, correction=0) + 1e-5)
    options = {"type": kind, **({"channels": channels} if kind == "log_mel" else {})}
    write("features_" + kind, tensors, {"yaml": json.dumps(options), "num_samples": json.dumps(sizes)})


def make_ctc():
    lengths, frames, classes = [14, 20, 9, 5], 20, 7
    targets = [[0, 1, 1, 4, 5], [2, 2, 2, 0, 3, 3, 1], [], [4]]
    logits = (torch.randn(4, frames, classes) * 3).double().requires_grad_(True)
    logp = logits.log_softmax(2).transpose(0, 1)
    flat = torch.tensor([t for target in targets for t in target])
    losses = F.ctc_loss(logp, flat, torch.tensor(lengths), torch.tensor([len(t) for t in targets]), classes - 1, "none")
    losses.sum().backward()
    write("ctc", {"logits": logits, "losses": losses, "gradient": logits.grad}, {"lengths": json.dumps(lengths), "targets": json.dumps(targets)})


torch.manual_seed(20240501)
torch.set_num_threads(1)
for case, settings in CASES.items():
    make_block(case, settings)
make_features("log_mel", 20, [1700, 1130])
make_features("stft", 257, [1300, 500])
make_ctc()
for case, settings in LATER_CASES.items():
    torch.manual_seed(zlib.crc32(case.encode()))
    make_block(case, settings)
