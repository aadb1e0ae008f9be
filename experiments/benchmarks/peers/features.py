"""Batched front-ends (models/README.md, "Front-ends") and masks on features."""

import math

import torch

SAMPLE_RATE_HZ = 16000
N_FFT = 512


def mel_filters(channels):
    """[257, channels] triangular filters of unit peak on the HTK scale, 0 Hz to 8000 Hz."""
    top = 2595.0 * math.log10(1.0 + 8000.0 / 700.0)
    edges = 700.0 * (10.0 ** (torch.linspace(0.0, top, channels + 2, dtype=torch.float64) / 2595.0) - 1.0)
    bins = torch.linspace(0.0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1, dtype=torch.float64)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return torch.minimum(rising, falling).clamp_min(0.0).float()


class FrontEnd:
    """samples [B, N] zero-padded, num_samples [B] -> features [B, T, F] (zero beyond each length), lengths [B]."""

    def __init__(self, options):
        self.type = options.get("type", "log_mel")
        self.hop = round(SAMPLE_RATE_HZ * options.get("hop_ms", 10) / 1000)
        self.window_length = round(SAMPLE_RATE_HZ * options.get("window_ms", 25) / 1000)
        self.is_normalized = options.get("normalize", "utterance") == "utterance"
        self.window = torch.hann_window(self.window_length, periodic=True)
        channels = options.get("channels", 80)
        self.filters = mel_filters(channels) if self.type == "log_mel" else None
        self.channels = channels if self.type == "log_mel" else N_FFT // 2 + 1

    def num_frames(self, num_samples):
        return num_samples // self.hop + 1

    def __call__(self, samples, num_samples):
        # Centred frames with zeros outside: the window sits in the middle of the 512 samples around t * hop.
        spectrum = torch.stft(samples, N_FFT, self.hop, self.window_length, self.window, center=True,
                              pad_mode="constant", return_complex=True).transpose(1, 2)  # [B, T, 257]
        if self.type == "log_mel":
            power = torch.view_as_real(spectrum).square().sum(-1)
            x = (power @ self.filters).clamp_min(1e-10).log()
        else:
            x = spectrum.abs().clamp_min(1e-5).log()
        lengths = self.num_frames(num_samples)
        mask = (torch.arange(x.shape[1])[None, :] < lengths[:, None]).unsqueeze(2)
        x = x * mask
        if not self.is_normalized:
            return x, lengths
        count = lengths[:, None, None].to(x.dtype)
        x = (x - x.sum(1, keepdim=True) / count) * mask
        deviation = (x.square().sum(1, keepdim=True) / count).sqrt()
        return x / (deviation + 1e-5), lengths


def spec_augment(x, lengths, options, generator=None):
    """Zeroes (the mean after normalisation) random stretches of time and bands of channels, in place."""
    batch, frames, channels = x.shape

    def uniform():
        return torch.rand(batch, 1, generator=generator)

    def stretches(num_positions, widest, size):
        width = (uniform() * (widest + 1)).floor()
        start = (uniform() * (size - width + 1)).floor()
        position = torch.arange(num_positions)[None, :]
        return (position >= start) & (position < start + width)

    size = lengths[:, None].to(torch.float32)
    for _ in range(options.get("time_masks", 0)):
        widest = (size * options.get("time_share", 0.05)).floor()
        x.masked_fill_(stretches(frames, widest, size)[:, :, None], 0.0)
    for _ in range(options.get("frequency_masks", 0)):
        widest = torch.full((batch, 1), float(min(options.get("frequency_width", 15), channels)))
        x.masked_fill_(stretches(channels, widest, channels)[:, None, :], 0.0)
    return x
