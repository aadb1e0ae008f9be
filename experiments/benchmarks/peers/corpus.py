"""Manifests, decoded audio shared by all processes, and the plan of batches."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import soundfile
import soxr
import torch

from features import SAMPLE_RATE_HZ, spec_augment
from text import normalize


@dataclass
class Utterance:
    id: str  # domain/file name, or the manifest's id
    path: Path
    domain: str
    offset_s: float
    duration_s: float
    reference: str
    tokens: list


def read_manifests(paths, normalizer, tokenizer):
    utterances = []
    for manifest in map(Path, paths):
        for line in manifest.read_text(encoding="utf-8").split("\n"):
            if not line.strip():
                continue
            entry = json.loads(line)
            reference = normalize(entry["text"], normalizer)
            path = manifest.parent / entry["audio_filepath"]
            utterances.append(Utterance(entry.get("id") or f"{entry['domain']}/{path.name}", path, entry["domain"],
                                        float(entry.get("offset", 0.0)), float(entry["duration"]), reference,
                                        tokenizer.encode(reference)))
    return utterances


def usable(utterances, data_options, num_frames):
    """Those within the duration limits, with text, whose tokens fit the output frames (CTC)."""
    kept = []
    for u in utterances:
        needed = len(u.tokens) + sum(a == b for a, b in zip(u.tokens, u.tokens[1:]))
        in_limits = data_options.get("min_duration_s", 0.1) <= u.duration_s <= data_options.get("max_duration_s", 20.0)
        if in_limits and u.tokens and needed <= num_frames(int(u.duration_s * SAMPLE_RATE_HZ)):
            kept.append(u)
    return kept


def decode(path, offset_s=0.0, duration_s=None):
    """Mono float samples at 16 kHz of a whole file, or of `duration_s` from `offset_s`."""
    with soundfile.SoundFile(str(path)) as file:
        rate = file.samplerate
        file.seek(round(offset_s * rate))
        samples = file.read(-1 if duration_s is None else round(duration_s * rate), dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return mono if rate == SAMPLE_RATE_HZ else soxr.resample(mono, rate, SAMPLE_RATE_HZ, quality="HQ")


def read_audio(utterance):
    part = (utterance.offset_s, utterance.duration_s) if utterance.offset_s else ()
    return torch.from_numpy(decode(utterance.path, *part))


class SharedRows:
    """Rows of unequal length per utterance in shared memory, filled by whichever process asks first."""

    def __init__(self, num_rows, row_shape, dtype, make):
        self.starts = torch.tensor([0, *num_rows]).cumsum(0)
        self.rows = torch.empty(int(self.starts[-1]), *row_shape, dtype=dtype).share_memory_()
        self.counts = torch.zeros(len(num_rows), dtype=torch.int64).share_memory_()
        self.make = make

    def __getitem__(self, index):
        start, end = int(self.starts[index]), int(self.starts[index + 1])
        if self.counts[index] == 0:
            made = self.make(index)[: end - start]
            self.rows[start : start + len(made)] = made
            self.counts[index] = len(made)
        return self.rows[start : start + int(self.counts[index])]


class FeatureCache(SharedRows):
    """[T, F] features: the front-end runs once per utterance (masks come later, on the batch)."""

    def __init__(self, utterances, front_end):
        self.utterances, self.front_end = utterances, front_end
        num_frames = [front_end.num_frames(int(u.duration_s * SAMPLE_RATE_HZ)) + 10 for u in utterances]
        super().__init__(num_frames, (front_end.channels,), torch.float32, self.compute)

    def compute(self, index):
        samples = read_audio(self.utterances[index])
        return self.front_end(samples[None], torch.tensor([len(samples)]))[0][0]

    def batch(self, indices):
        rows = [self[i] for i in indices]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(r) for r in rows])


class AudioCache(SharedRows):
    """Decoded int16 audio; the front-end runs on every batch."""

    def __init__(self, utterances, front_end):
        self.utterances, self.front_end = utterances, front_end
        room = [int(u.duration_s * SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ // 8 for u in utterances]
        super().__init__(room, (), torch.int16, self.compute)

    def compute(self, index):
        audio = read_audio(self.utterances[index])
        return (audio * 32768.0).round().clamp(-32768, 32767).to(torch.int16)

    def batch(self, indices):
        audio = [self[i] for i in indices]
        samples = torch.nn.utils.rnn.pad_sequence(audio, batch_first=True).to(torch.float32) / 32768.0
        return self.front_end(samples, torch.tensor([len(a) for a in audio]))


CACHES = {"features": FeatureCache, "audio": AudioCache}


@dataclass
class Plan:
    """One batch of one rank; normalizer: tokens (or utterances) of the whole update over all ranks."""

    utterances: list
    normalizer: float
    num_left: int  # batches of this rank until the optimizer steps, counting this one


@dataclass
class Batch:
    x: torch.Tensor  # [B, T, F]
    lengths: torch.Tensor
    targets: torch.Tensor  # concatenated
    target_lengths: torch.Tensor
    plan: Plan
    seconds: float

    def pin_memory(self):  # the loader's, for a GPU
        for name in ("x", "lengths", "targets"):
            setattr(self, name, getattr(self, name).pin_memory())
        return self


class Batches(torch.utils.data.Dataset):
    """Plan -> Batch: cached audio or features, then masks. Runs in the loader's workers."""

    def __init__(self, utterances, cache, spec_options=None):
        self.utterances, self.cache, self.spec_options = utterances, cache, spec_options

    def __getitem__(self, plan):
        x, lengths = self.cache.batch(plan.utterances)
        if self.spec_options:
            x = spec_augment(x, lengths, self.spec_options)
        own = [self.utterances[i] for i in plan.utterances]
        return Batch(x, lengths, torch.tensor([t for u in own for t in u.tokens]),
                     torch.tensor([len(u.tokens) for u in own]), plan, sum(u.duration_s for u in own))


def cut(indices, durations, seconds):
    """Length-sorted batches of at most `seconds` padded seconds each (one utterance at least)."""
    batches = []
    for index in sorted(indices, key=lambda i: durations[i]):
        if batches and (len(batches[-1]) + 1) * durations[index] <= seconds:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


class BatchPlans:
    """Endless plans of one rank; every rank computes the same global plan from the seed.

    sampling: `balanced` (every domain equally often) or `shuffle` (epochs). An update consists of world × accumulate
    length-homogeneous batches; mixing: `spread` takes them from all lengths, `adjacent` from one.
    """

    def __init__(self, utterances, seconds, rank, world, options, seed):
        self.utterances, self.rank, self.world, self.options = utterances, rank, world, options
        self.durations = [u.duration_s for u in utterances]
        self.per_update = world * options.accumulate
        self.seconds, self.seed = seconds, seed

    def __iter__(self):
        randomness = random.Random(self.seed)
        draws = self._balanced(randomness) if self.options.sampling == "balanced" else self._shuffled(randomness)
        left_over = []
        while True:
            pool, total = left_over, sum(self.durations[i] for i in left_over)
            while total < self.options.pool * self.seconds:
                pool.append(next(draws))
                total += self.durations[pool[-1]]
            batches = cut(pool, self.durations, self.seconds / self.per_update)
            num_updates = len(batches) // self.per_update
            left_over = []
            while len(batches) > num_updates * self.per_update:
                left_over += batches.pop(randomness.randrange(len(batches)))
            updates = self._group(batches, num_updates, randomness)
            for update in updates:
                yield from self._share(update)

    def _group(self, batches, num_updates, randomness):
        if self.options.mixing == "adjacent":
            updates = [batches[u * self.per_update : (u + 1) * self.per_update] for u in range(num_updates)]
        else:
            strata = [batches[m * num_updates : (m + 1) * num_updates] for m in range(self.per_update)]
            for stratum in strata:
                randomness.shuffle(stratum)
            updates = [list(update) for update in zip(*strata)]
        randomness.shuffle(updates)
        return updates

    def _share(self, update):
        normalizer = sum(len(self.utterances[i].tokens) if self.options.normalizer == "tokens" else 1
                         for batch in update for i in batch)
        own = update[self.rank :: self.world]
        for n, batch in enumerate(own):
            yield Plan(batch, normalizer, len(own) - n)

    def _shuffled(self, randomness):
        order = list(range(len(self.utterances)))
        while True:
            randomness.shuffle(order)
            yield from order

    def _balanced(self, randomness):
        domains = {}
        for index, u in enumerate(self.utterances):
            domains.setdefault(u.domain, []).append(index)
        names, left = sorted(domains), {name: [] for name in domains}
        while True:
            randomness.shuffle(names)
            for name in names:
                if not left[name]:
                    left[name] = randomness.sample(domains[name], len(domains[name]))
                yield left[name].pop()
