"""Logits of a checkpoint for audio files: `python logits.py CHECKPOINT AUDIO... --out FILE.safetensors`.

CHECKPOINT holds config.yaml and model.safetensors. Each file is computed alone; tensor "<file name>" is [T', V].
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import model as acoustic
import settings
from corpus import decode
from features import FrontEnd


def load_model(folder, form="btc"):
    config = settings.load(Path(folder) / "config.yaml")
    tensors = load_file(str(Path(folder) / "model.safetensors"))
    front_end = FrontEnd(config["features"])
    num_tokens = tensors["head.weight"].shape[0] - 1
    model = acoustic.AcousticModel(config["model"]["blocks"], front_end.channels, num_tokens, form).eval()
    acoustic.load_checkpoint(model, tensors)
    return model, front_end


@torch.no_grad()
def logits_of(model, front_end, path):
    """Samples as the trainer's cache keeps them: int16."""
    samples = (torch.from_numpy(decode(path)) * 32768.0).round().clamp(-32768, 32767) / 32768.0
    x, lengths = front_end(samples[None], torch.tensor([len(samples)]))
    logits, lengths = model(x, lengths)
    return logits[0, : int(lengths[0])]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("audio", nargs="+")
    parser.add_argument("--out", required=True)
    parser.add_argument("--form", choices=["btc", "bct"], default="btc")
    arguments = parser.parse_args()
    model, front_end = load_model(arguments.checkpoint, arguments.form)
    out = {Path(path).name: logits_of(model, front_end, path).contiguous() for path in arguments.audio}
    save_file(out, arguments.out)
    for name, logits in out.items():
        print(f"{name}: {list(logits.shape)}, mean {float(logits.mean()):.6f}, norm {float(logits.norm()):.6f}")


if __name__ == "__main__":
    main()
