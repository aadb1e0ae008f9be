"""The acoustic network of `model.blocks` (models/README.md), written against torch.nn alone."""

import math

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from layouts import Layout, activation, out_length


class Conv(nn.Module):
    """conv -> norm -> activation -> dropout."""

    def __init__(self, layout, inputs, options, stride=None):
        super().__init__()
        self.layout, self.channels = layout, options.get("channels", 256)
        self.stride = options.get("stride", 1) if stride is None else stride
        self.conv = layout.conv(inputs, self.channels, options.get("kernel", 5), self.stride)
        self.norm = layout.norm(options, self.channels)
        self.activation = activation(options.get("activation", "relu"))
        self.dropout = nn.Dropout(options.get("dropout", 0.0))

    def forward(self, x, lengths):
        lengths = out_length(lengths, self.stride)
        y = self.conv(x)
        mask = self.layout.mask(lengths, y.shape[self.layout.time_dim])
        return self.dropout(self.activation(self.norm(y, mask).mul_(mask))), lengths


class Subsample(nn.Module):
    """log2(factor) convolutions of stride 2, then dropout."""

    def __init__(self, layout, inputs, options):
        super().__init__()
        inner = {**options, "dropout": 0.0}
        self.channels = options.get("channels", 256)
        depth = int(math.log2(options.get("factor", 4)))
        self.layers = nn.ModuleList(
            Conv(layout, inputs if i == 0 else self.channels, inner, stride=2) for i in range(depth))
        self.dropout = nn.Dropout(options.get("dropout", 0.0))

    def forward(self, x, lengths):
        for layer in self.layers:
            x, lengths = layer(x, lengths)
        return self.dropout(x), lengths


class Separable(nn.Module):
    """repeat x (depthwise -> pointwise -> norm), squeeze-excite, residual, activation, dropout."""

    def __init__(self, layout, inputs, options):
        super().__init__()
        self.layout, self.channels = layout, options.get("channels", 256)
        self.stride, repeat = options.get("stride", 1), options.get("repeat", 1)
        kernel, dilation = options.get("kernel", 13), options.get("dilation", 1)
        widths = [inputs] + [self.channels] * repeat
        self.depthwise = nn.ModuleList(
            layout.conv(widths[r], widths[r], kernel, self.stride if r == 0 else 1, dilation, widths[r], bias=False)
            for r in range(repeat))
        self.pointwise = nn.ModuleList(layout.pointwise(widths[r], self.channels) for r in range(repeat))
        self.norm = nn.ModuleList(layout.norm(options, self.channels) for _ in range(repeat))
        self.activation = activation(options.get("activation", "relu"))
        self.dropout = nn.Dropout(options.get("dropout", 0.0))
        reduction = options.get("squeeze_excite", 8)
        self.has_squeeze = reduction > 0
        if self.has_squeeze:
            self.squeeze = nn.Linear(self.channels, self.channels // reduction)
            self.excite = nn.Linear(self.channels // reduction, self.channels)
        self.is_residual = options.get("residual", True)
        if self.is_residual and (inputs != self.channels or self.stride != 1):
            self.residual = layout.pointwise(inputs, self.channels)

    def forward(self, x, lengths):
        entry, lengths = x, out_length(lengths, self.stride)
        mask = None
        for r, (depthwise, pointwise, norm) in enumerate(zip(self.depthwise, self.pointwise, self.norm)):
            if r > 0:
                x = self.dropout(self.activation(x))
            x = pointwise(depthwise(x))
            if mask is None:
                mask = self.layout.mask(lengths, x.shape[self.layout.time_dim])
            x = norm(x, mask).mul_(mask)
        gate = None
        if self.has_squeeze:
            gate = self.excite(F.relu(self.squeeze(self.layout.time_mean(x, lengths))))
            gate = torch.sigmoid(gate).unsqueeze(self.layout.time_dim)
        if self.is_residual:
            if hasattr(self, "residual"):
                entry = self.residual(self.layout.every(entry, self.stride)) * mask
            x = x + entry if gate is None else torch.addcmul(entry, x, gate)
        elif gate is not None:
            x = x * gate
        return self.dropout(self.activation(x)), lengths


class TransformerLayer(nn.Module):
    def __init__(self, channels, options):
        super().__init__()
        self.heads, ff = options.get("heads", 4), options.get("ff", 1024)
        self.attention_norm, self.ff_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.ff1, self.ff2 = nn.Linear(channels, ff), nn.Linear(ff, channels)
        self.activation = activation(options.get("activation", "silu"))
        self.dropout = nn.Dropout(options.get("dropout", 0.0))

    def forward(self, x, rotary, attend):
        batch, frames, channels = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(batch, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(rotate(q, rotary), rotate(k, rotary), v, attn_mask=attend)
        x = x + self.dropout(self.out(y.transpose(1, 2).reshape(batch, frames, channels)))
        return x + self.dropout(self.ff2(self.activation(self.ff1(self.ff_norm(x)))))


def rotate(x, rotary):
    """Rotary positions: pairs (i, i + d/2) of [B, H, T, d]."""
    cosine, sine = rotary
    low, high = x.chunk(2, dim=-1)
    return torch.cat([low * cosine - high * sine, low * sine + high * cosine], dim=-1)


class Transformer(nn.Module):
    """layers x pre-norm (attention, feed-forward), then a layer norm."""

    def __init__(self, layout, inputs, options):
        super().__init__()
        self.layout, self.channels = layout, inputs
        self.size = inputs // options.get("heads", 4)
        self.layers = nn.ModuleList(TransformerLayer(inputs, options) for _ in range(options.get("layers", 1)))
        self.final_norm = nn.LayerNorm(inputs)

    def forward(self, x, lengths):
        x = self.layout.to_btc(x)
        position = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)
        frequency = 10000.0 ** (-torch.arange(0, self.size, 2, dtype=x.dtype, device=x.device) / self.size)
        angles = position[:, None] * frequency[None, :]
        is_real = torch.arange(x.shape[1], device=x.device)[None, :] < lengths[:, None]
        for layer in self.layers:
            x = layer(x, (angles.cos(), angles.sin()), is_real[:, None, None, :])
        return self.layout.from_btc(self.final_norm(x) * is_real.unsqueeze(2)), lengths


BLOCKS = {"conv": Conv, "subsample": Subsample, "separable": Separable, "transformer": Transformer}


class AcousticModel(nn.Module):
    """features [B, T, F], lengths [B] -> logits [B, T', V], lengths [B]. Blank is V - 1."""

    def __init__(self, blocks, inputs, num_tokens, form="btc"):
        super().__init__()
        self.layout = Layout(form)
        self.blocks = nn.ModuleList()
        for options in blocks:
            self.blocks.append(BLOCKS[options["type"]](self.layout, inputs, options))
            inputs = self.blocks[-1].channels
        self.head = nn.Linear(inputs, num_tokens + 1)
        initialize(self)
        if self.layout.is_channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, x, lengths):
        x = self.layout.from_btc(x)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        return self.head(self.layout.to_btc(x)), lengths

    def num_frames(self, frames):
        """Exact output length of a number of feature frames."""
        for block in self.blocks:
            strides = [2] * len(block.layers) if isinstance(block, Subsample) else [getattr(block, "stride", 1)]
            for stride in strides:
                frames = out_length(frames, stride)
        return frames


def initialize(model):
    """Uniform ±sqrt(3 · gain / fan_in); gain 2 (He) for strided convolutions and squeeze, else 1. Biases 0."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.dim() > 1:
            gain = 2.0 if any(part in name for part in (".conv.", ".squeeze.")) else 1.0
            fan_in = parameter[0].numel()
            bound = math.sqrt(3.0 * gain / fan_in)
            nn.init.uniform_(parameter, -bound, bound)


def is_plain(name):
    """Biases and norms, which do not decay."""
    return name.endswith("bias") or "norm" in name


def to_checkpoint(model):
    """Names and shapes of models/README.md, contiguous: depthwise [K, C], pointwise [O, I], conv [O, K, I]."""
    return {name: checkpoint_shape(name, tensor.detach()) for name, tensor in model.state_dict().items()}


def checkpoint_shape(name, tensor):
    if ".depthwise." in name:
        return tensor.reshape(tensor.shape[0], -1).t().contiguous().clone()
    if name.endswith(".conv.weight"):
        return tensor.reshape(tensor.shape[0], tensor.shape[1], -1).transpose(1, 2).contiguous().clone()
    if tensor.dim() == 3:
        return tensor.squeeze(2).clone()
    return tensor.contiguous().clone()


def load_checkpoint(model, tensors):
    """Strict: every tensor of the model must be there, and no other."""
    own = model.state_dict()
    if set(own) != set(tensors):
        raise ValueError(f"checkpoint: expected the names of the model; found differences {set(own) ^ set(tensors)}")
    for name, target in own.items():
        source = tensors[name]
        if ".depthwise." in name:
            source = source.t()
        elif name.endswith(".conv.weight"):
            source = source.transpose(1, 2)
        target.copy_(source.reshape(target.shape))


def save(model, path):
    save_file(to_checkpoint(model), str(path))


def load(model, path):
    load_checkpoint(model, load_file(str(path)))
