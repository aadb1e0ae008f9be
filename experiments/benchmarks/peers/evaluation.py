"""Greedy decoding of all validation utterances; rates are Σ edits / Σ length per domain."""

import torch
import torch.distributed as dist

from corpus import Plan, cut
from text import edit_distance


def greedy(logits, lengths, blank):
    """Token lists of a batch: best token per frame, repeats merged, blanks dropped."""
    best = logits.argmax(-1)
    out = []
    for row, length in zip(best, lengths):
        tokens = torch.unique_consecutive(row[: int(length)])
        out.append(tokens[tokens != blank].tolist())
    return out


@torch.no_grad()
def evaluate(model, dataset, tokenizer, config):
    """The same result on every rank; call it on all of them."""
    rank, world = dist.get_rank(), dist.get_world_size()
    utterances = dataset.utterances
    seconds = config.get("validation", {}).get("batch_seconds", 120)
    batches = cut(range(len(utterances)), [u.duration_s for u in utterances], seconds)
    model.eval()
    device = next(model.parameters()).device
    own = []
    for batch in batches[rank::world]:
        loaded = dataset[Plan(batch, 1.0, 1)]
        logits, lengths = (part.cpu() for part in model(loaded.x.to(device), loaded.lengths.to(device)))
        for index, tokens in zip(batch, greedy(logits, lengths, logits.shape[2] - 1)):
            own.append((index, " ".join(tokenizer.decode(tokens).split())))
    model.train()
    gathered = [None] * world
    dist.all_gather_object(gathered, own)
    hypotheses = dict(pair for part in gathered for pair in part)
    return score(utterances, hypotheses)


def score(utterances, hypotheses):
    domains = {}
    for index, u in enumerate(utterances):
        hypothesis = hypotheses[index]
        words = u.reference.split()
        domains.setdefault(u.domain, []).append({
            "id": u.id, "edits": edit_distance(u.reference, hypothesis), "length": len(u.reference),
            "word_edits": edit_distance(words, hypothesis.split()), "words": len(words), "hypothesis": hypothesis})
    sets = []
    for domain in sorted(domains):
        rows = domains[domain]
        edits, length = sum(r["edits"] for r in rows), sum(r["length"] for r in rows)
        words = sum(r["words"] for r in rows)
        sets.append({"domain": domain, "utterances": len(rows), "cer": edits / max(1, length),
                     "wer": sum(r["word_edits"] for r in rows) / max(1, words), "edits": edits,
                     "reference_length": length, "per_utterance": rows})
    return {"sets": sets, "macro_cer": sum(s["cer"] for s in sets) / max(1, len(sets))}
