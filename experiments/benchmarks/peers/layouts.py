"""The two memory forms of the same layers: `btc` (channels last) and `bct` (Conv1d, as most programs have it).

A layout gives convolutions, pointwise maps, norms and reductions over time; both forms hold the same numbers.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class ChannelsLastConv(nn.Conv2d):
    """[B, T, C] -> [B, T', O] through conv2d on the channels-last view [B, C, 1, T]; no copies."""

    def __init__(self, inputs, outputs, kernel, stride=1, dilation=1, groups=1, bias=True):
        super().__init__(inputs, outputs, (1, kernel), (1, stride), (0, dilation * (kernel - 1) // 2), (1, dilation),
                         groups, bias)

    def forward(self, x):
        return super().forward(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)


class GlobalSums(torch.autograd.Function):
    """Sum over ranks, forward and backward."""

    @staticmethod
    def forward(ctx, x):
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


class MaskedNorm(nn.Module):
    """group (per utterance) and batch (all ranks) norms whose statistics see real frames only."""

    def __init__(self, kind, channels, channel_dim, groups):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.is_batch, self.groups, self.channel_dim = kind == "batch", groups, channel_dim
        if self.is_batch:
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x, mask):
        x = x if self.channel_dim == 2 else x.transpose(1, 2)  # [B, T, C]
        mask = mask.reshape(x.shape[0], x.shape[1], 1)
        y = self.batch_norm(x, mask) if self.is_batch else self.group_norm(x, mask)
        y = y * self.weight + self.bias
        return y if self.channel_dim == 2 else y.transpose(1, 2)

    def group_norm(self, x, mask):
        batch, frames, channels = x.shape
        y = x.reshape(batch, frames, self.groups, channels // self.groups)
        mask = mask.unsqueeze(3)
        count = mask.sum(1, keepdim=True) * (channels // self.groups)
        mean = (y * mask).sum((1, 3), keepdim=True) / count
        variance = ((y - mean) * mask).square().sum((1, 3), keepdim=True) / count
        return ((y - mean) * torch.rsqrt(variance + 1e-5)).reshape(batch, frames, channels)

    def batch_norm(self, x, mask):
        if not self.training:
            return (x - self.running_mean) * torch.rsqrt(self.running_var + 1e-5)
        real = x * mask
        sums = torch.cat([real.sum((0, 1)), real.square().sum((0, 1)), mask.sum().reshape(1)])
        if dist.is_initialized() and dist.get_world_size() > 1:
            sums = GlobalSums.apply(sums)
        channels = x.shape[2]
        mean = sums[:channels] / sums[-1]
        variance = (sums[channels:-1] / sums[-1] - mean.square()).clamp_min(0.0)
        with torch.no_grad():
            unbiased = variance * (sums[-1] / (sums[-1] - 1).clamp_min(1))
            self.running_mean.lerp_(mean, 0.1)
            self.running_var.lerp_(unbiased, 0.1)
        return (x - mean) * torch.rsqrt(variance + 1e-5)


class LayerNorm(nn.LayerNorm):
    """Over C of [B, T, C] (channel_dim 2) or [B, C, T]; the mask is not needed."""

    def __init__(self, channels, channel_dim):
        super().__init__(channels)
        self.channel_dim = channel_dim

    def forward(self, x, mask=None):
        if self.channel_dim == 2:
            return super().forward(x)
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class NoNorm(nn.Module):
    def forward(self, x, mask):
        return x


class Layout:
    """form: `btc` or `bct`."""

    def __init__(self, form):
        if form not in ("btc", "bct"):
            raise ValueError(f"form: expected btc or bct; found {form}")
        self.is_channels_last = form == "btc"
        self.channel_dim, self.time_dim = (2, 1) if self.is_channels_last else (1, 2)

    def conv(self, inputs, outputs, kernel, stride=1, dilation=1, groups=1, bias=True):
        if self.is_channels_last:
            return ChannelsLastConv(inputs, outputs, kernel, stride, dilation, groups, bias)
        return nn.Conv1d(inputs, outputs, kernel, stride, dilation * (kernel - 1) // 2, dilation, groups, bias)

    def pointwise(self, inputs, outputs):
        return nn.Linear(inputs, outputs) if self.is_channels_last else nn.Conv1d(inputs, outputs, 1)

    def norm(self, options, channels):
        kind = options.get("norm", "layer")
        if kind == "none":
            return NoNorm()
        if kind == "layer":
            return LayerNorm(channels, self.channel_dim)
        return MaskedNorm(kind, channels, self.channel_dim, options.get("groups", 8))

    def mask(self, lengths, frames):
        """[B, T, 1] or [B, 1, T]; 1 on real frames."""
        mask = (torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]).to(torch.float32)
        return mask.unsqueeze(self.channel_dim)

    def time_mean(self, x, lengths):
        """[B, C] over real frames of an x that is zero elsewhere."""
        return x.sum(self.time_dim) / lengths[:, None]

    def every(self, x, stride):
        return x[:, ::stride] if self.is_channels_last else x[:, :, ::stride]

    def from_btc(self, x):
        return x if self.is_channels_last else x.transpose(1, 2)

    to_btc = from_btc


def out_length(lengths, stride):
    return (lengths - 1) // stride + 1


def activation(name):
    return {"relu": F.relu_, "silu": F.silu}[name]
