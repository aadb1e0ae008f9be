"""One whole update in double precision for the trainer's golden test: `python golden_update.py [FOLDER]`.

Writes config.json (an experiment file: JSON is YAML), and update.safetensors with
  samples [B, N] int16 (divide by 32768), num_samples, features [B, T, F], lengths, targets, target_lengths,
  before.<name>, logits, logit_lengths, losses [B], loss (sum / tokens), gradient_norm (before clipping),
  gradient.<name> (before clipping), after.<name>, loss_after.
"""

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import model as acoustic
from features import FrontEnd

CONFIG = {
    "seed": 1,
    "features": {"type": "log_mel", "channels": 16, "hop_ms": 10, "window_ms": 25, "normalize": "utterance"},
    "model": {
        "blocks": [
            {"type": "subsample", "channels": 16, "factor": 2, "kernel": 5},
            {"type": "separable", "channels": 16, "kernel": 5, "repeat": 2, "dilation": 2, "squeeze_excite": 4},
            {"type": "separable", "channels": 24, "kernel": 7, "stride": 2, "norm": "group", "activation": "silu"},
            {"type": "transformer", "layers": 1, "heads": 2, "ff": 32},
            {"type": "conv", "channels": 16, "kernel": 3},
        ],
        "head": {"type": "ctc"},
    },
    # eps is large so that single-precision noise in small gradients does not turn into a full step.
    "optimizer": {"type": "adamw", "lr": 0.002, "beta1": 0.9, "beta2": 0.98, "eps": 1.0e-4, "weight_decay": 0.01,
                  "clip_norm": 1.0},
}
NUM_TOKENS = 6
NUM_SAMPLES = [9600, 7040, 4123]
TARGETS = [[0, 3, 3, 5, 1], [2, 4, 2], [1]]


def make_samples(generator):
    """Chirps in noise, int16."""
    rows = torch.zeros(len(NUM_SAMPLES), max(NUM_SAMPLES))
    for b, n in enumerate(NUM_SAMPLES):
        t = torch.arange(n) / 16000.0
        chirp = torch.sin(2 * torch.pi * (200.0 * (b + 1) + 1500.0 * t) * t)
        rows[b, :n] = (8000 * chirp + 500 * torch.randn(n, generator=generator)).round()
    return rows


@torch.no_grad()
def set_parameters(parameters, generator):
    """Biases and norms off their initial values; everything exact in single precision."""
    for name, parameter in parameters.items():
        noise = torch.randn(parameter.shape, generator=generator)
        if acoustic.is_plain(name):
            parameter.copy_(0.1 * noise + (1.0 if name.endswith("weight") else 0.0))
        else:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)


def loss_of(model, x, lengths, targets, target_lengths):
    logits, lengths = model(x, lengths)
    losses = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), targets, lengths, target_lengths,
                        blank=logits.shape[2] - 1, reduction="none")
    return logits, lengths, losses, losses.sum() / target_lengths.sum()


def named(prefix, values):
    """Checkpoint names and shapes for a dict of parameter tensors."""
    return {f"{prefix}.{name}": acoustic.checkpoint_shape(name, value.detach()).float().contiguous()
            for name, value in values.items()}


def make(folder):
    generator = torch.Generator().manual_seed(1)
    torch.set_num_threads(1)
    front_end = FrontEnd(CONFIG["features"])
    samples, num_samples = make_samples(generator), torch.tensor(NUM_SAMPLES)
    x, lengths = front_end(samples / 32768.0, num_samples)
    targets = torch.tensor([t for row in TARGETS for t in row])
    target_lengths = torch.tensor([len(row) for row in TARGETS])
    model = acoustic.AcousticModel(CONFIG["model"]["blocks"], front_end.channels, NUM_TOKENS).double()
    parameters = dict(model.named_parameters())
    set_parameters(parameters, generator)
    tensors = named("before", parameters)
    logits, logit_lengths, losses, loss = loss_of(model, x.double(), lengths, targets, target_lengths)
    loss.backward()
    tensors |= named("gradient", {name: p.grad for name, p in parameters.items()})
    options = CONFIG["optimizer"]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), options["clip_norm"])
    if norm <= options["clip_norm"]:
        raise RuntimeError(f"gradient norm: expected above {options['clip_norm']} so that clipping acts; found {norm}")
    groups = [{"params": [p for n, p in parameters.items() if not acoustic.is_plain(n)],
               "weight_decay": options["weight_decay"]},
              {"params": [p for n, p in parameters.items() if acoustic.is_plain(n)], "weight_decay": 0.0}]
    torch.optim.AdamW(groups, lr=options["lr"], betas=(options["beta1"], options["beta2"]), eps=options["eps"]).step()
    tensors |= named("after", parameters)
    with torch.no_grad():
        loss_after = loss_of(model, x.double(), lengths, targets, target_lengths)[3]
    tensors |= {"samples": samples.to(torch.int16), "num_samples": num_samples, "features": x, "lengths": lengths,
                "targets": targets, "target_lengths": target_lengths, "logits": logits.detach().float(),
                "logit_lengths": logit_lengths, "losses": losses.detach().float(), "loss": loss.detach().float(),
                "gradient_norm": norm.float(), "loss_after": loss_after.float()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(folder / "update.safetensors"))
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    print(f"loss {float(loss.detach()):.6f} -> {float(loss_after):.6f}, gradient norm {float(norm):.6f}, "
          f"{sum(p.numel() for p in parameters.values())} parameters, "
          f"{(folder / 'update.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path,
                        default=Path(__file__).resolve().parents[3] / "tests/golden/update")
    make(parser.parse_args().folder)
