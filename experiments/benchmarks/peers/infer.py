"""Speed of the peer's answers: `python infer.py CONFIG [--tokens 200] [--seconds 10] [--batch 1] [--threads 1] [--passes 20]`.

Front-end and model of CONFIG with random weights on random audio, under inference_mode, channels last; the same quantities as
`rehearse bench infer`. --freeze: the model through torch.jit's tracing and freezing, which folds what is constant.
"""

import argparse
import statistics
import time

import torch

import model as acoustic
import settings
from features import FrontEnd


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--form", choices=["btc", "bct"], default="btc")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = settings.load(options.config)
    front_end = FrontEnd(config["features"])
    model = acoustic.AcousticModel(config["model"]["blocks"], front_end.channels, options.tokens, options.form).eval()
    count = int(options.seconds * 16000)
    samples = torch.rand(options.batch, count) * 2 - 1
    lengths = torch.full((options.batch,), count)
    times = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        run = model
        if options.freeze:
            run = torch.jit.freeze(torch.jit.trace(model, front_end(samples, lengths)))
        for _ in range(5 + options.passes):
            start = time.perf_counter()
            run(*front_end(samples, lengths))
            times.append(time.perf_counter() - start)
    middle = statistics.median(times[5:])
    print(f"{options.batch} x {options.seconds:g} s, {options.threads} thread(s): {options.batch * options.seconds / middle:.0f} audio-s/s, "
          f"p50 {1e3 * middle:.2f} ms [{1e3 * min(times[5:]):.2f}, {1e3 * max(times[5:]):.2f}]")


if __name__ == "__main__":
    main()
