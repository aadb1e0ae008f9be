"""`python -m unittest peers_test` in this folder; needs no data."""

import argparse
import itertools
import math
import tempfile
import unittest
from pathlib import Path

import torch

import compare
import golden_update
import model as acoustic
import results
from corpus import BatchPlans, Utterance, cut
from features import FrontEnd, spec_augment
from text import Characters, edit_distance, normalize

BLOCKS = [
    {"type": "subsample", "channels": 32, "factor": 4, "norm": "batch"},
    {"type": "separable", "channels": 32, "repeat": 2, "norm": "group", "stride": 2, "dilation": 2},
    {"type": "separable", "channels": 40, "kernel": 7, "residual": False, "activation": "silu"},
    {"type": "conv", "channels": 24, "kernel": 3},
    {"type": "transformer", "layers": 2, "heads": 4, "ff": 48},
]


def batch(seed):
    torch.manual_seed(seed)
    x, lengths = torch.randn(3, 101, 20, dtype=torch.float64), torch.tensor([101, 75, 18])
    return x * (torch.arange(101)[None, :] < lengths[:, None]).unsqueeze(2), lengths


class Model(unittest.TestCase):
    def test_both_forms_have_equal_outputs_and_gradients(self):
        x, lengths = batch(1)
        models = [acoustic.AcousticModel(BLOCKS, 20, 7, form).double() for form in ("btc", "bct")]
        acoustic.load_checkpoint(models[1], acoustic.to_checkpoint(models[0]))
        logits = [m(x, lengths)[0] for m in models]
        self.assertLess(float((logits[0] - logits[1]).detach().abs().max()), 1e-10)
        for y in logits:
            y.square().sum().backward()
        for (name, a), b in zip(models[0].named_parameters(), models[1].parameters()):
            difference = acoustic.checkpoint_shape(name, a.grad) - acoustic.checkpoint_shape(name, b.grad)
            self.assertLess(float(difference.abs().max()), 1e-9, name)

    def test_batch_mates_do_not_matter_in_evaluation(self):
        x, lengths = batch(2)
        model = acoustic.AcousticModel(BLOCKS, 20, 7).double().eval()
        together, out = model(x, lengths)
        self.assertEqual(out.tolist(), model.num_frames(lengths).tolist())
        for b, length in enumerate(lengths.tolist()):
            alone, _ = model(x[b : b + 1, :length], lengths[b : b + 1])
            self.assertLess(float((alone[0] - together[b, : out[b]]).detach().abs().max()), 1e-10)

    def test_checkpoint_shapes_are_those_of_the_specification(self):
        tensors = acoustic.to_checkpoint(acoustic.AcousticModel(BLOCKS, 20, 7))
        self.assertEqual(list(tensors["blocks.0.layers.0.conv.weight"].shape), [32, 5, 20])
        self.assertEqual(list(tensors["blocks.1.depthwise.0.weight"].shape), [13, 32])
        self.assertEqual(list(tensors["blocks.1.pointwise.1.weight"].shape), [32, 32])
        self.assertEqual(list(tensors["head.weight"].shape), [8, 24])


class Features(unittest.TestCase):
    def test_frames_are_centred_with_zeros_outside(self):
        torch.manual_seed(3)
        samples = torch.randn(3210)
        padded = torch.cat([samples, torch.zeros(790)])[None]
        x, lengths = FrontEnd({"type": "stft", "normalize": "none"})(padded, torch.tensor([3210]))
        self.assertEqual(int(lengths), 21)
        window = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(400) / 400)
        around = torch.cat([torch.zeros(200), samples, torch.zeros(400)])
        for t in range(21):
            expected = torch.fft.rfft(around[160 * t : 160 * t + 400] * window, 512).abs()
            self.assertLess(float((x[0, t].exp() - expected.clamp_min(1e-5)).abs().max()), 1e-3)

    def test_normalized_features_have_mean_0_and_deviation_1_over_real_frames(self):
        torch.manual_seed(4)
        x, lengths = FrontEnd({})(torch.randn(2, 8000), torch.tensor([8000, 4000]))
        for b in range(2):
            real = x[b, : lengths[b]]
            self.assertLess(float(real.mean(0).abs().max()), 1e-4)
            self.assertLess(float((real.std(0, correction=0) - 1).abs().max()), 1e-3)
            self.assertEqual(float(x[b, lengths[b] :].abs().sum()), 0.0)

    def test_masks_are_no_wider_than_configured(self):
        x = spec_augment(torch.ones(64, 200, 40), torch.full((64,), 200), {"time_masks": 1, "time_share": 0.1})
        hidden = (x.sum(2) == 0).sum(1)
        self.assertLessEqual(int(hidden.max()), 20)
        self.assertGreater(int(hidden.max()), 10)


class Text(unittest.TestCase):
    def test_punctuation_goes_and_apostrophes_inside_words_stay(self):
        self.assertEqual(normalize("  'Don\u2019t' -- STOP, it's e\u0301te\u0301! "), "don't stop it's \u00e9t\u00e9")

    def test_edit_distance_counts_the_fewest_edits(self):
        for a, b, expected in (("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("abc", "", 3)):
            self.assertEqual(edit_distance(a, b), expected)

    def test_character_file_is_read_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "c.txt"
            path.write_text("rehearse-characters 1\n<space>\na\nb\n", encoding="utf-8")
            tokenizer = Characters(path)
            self.assertEqual(tokenizer.encode("ab xa"), [1, 2, 0, 1])
            self.assertEqual(tokenizer.decode([1, 0, 2]), "a b")


class Plans(unittest.TestCase):
    def setUp(self):
        self.utterances = [Utterance(f"{d}/{i}", Path("x"), d, 0.0, 0.5 + 0.1 * (i % 70), "a", [0])
                           for d, n in (("large", 300), ("small", 30)) for i in range(n)]

    def plans(self, rank, world, accumulate, count):
        options = argparse.Namespace(sampling="balanced", mixing="spread", accumulate=accumulate, pool=4,
                                     normalizer="tokens")
        return list(itertools.islice(BatchPlans(self.utterances, 60, rank, world, options, 1), count))

    def test_the_update_is_the_same_for_every_number_of_ranks(self):
        one = self.plans(0, 1, 4, 40)
        two = [self.plans(rank, 2, 2, 20) for rank in (0, 1)]
        for update in range(10):
            expected = sorted(tuple(p.utterances) for p in one[4 * update : 4 * update + 4])
            found = sorted(tuple(p.utterances) for rank in two for p in rank[2 * update : 2 * update + 2])
            self.assertEqual(expected, found)
            self.assertEqual(one[4 * update].normalizer, sum(len(batch) for batch in expected))

    def test_domains_are_drawn_equally_often(self):
        drawn = [self.utterances[i].domain for p in self.plans(0, 1, 4, 400) for i in p.utterances]
        self.assertAlmostEqual(drawn.count("small") / len(drawn), 0.5, delta=0.03)

    def test_batches_hold_at_most_their_padded_seconds(self):
        durations = [u.duration_s for u in self.utterances]
        for part in cut(range(len(durations)), durations, 30):
            self.assertLessEqual(len(part) * max(durations[i] for i in part), 30)


class Comparison(unittest.TestCase):
    def test_the_interval_holds_a_planted_difference_and_is_empty_for_equal_systems(self):
        torch.manual_seed(5)
        edits = torch.randint(0, 4, (200,)).tolist()
        worse = {"d": {str(i): (e + i % 2, 10) for i, e in enumerate(edits)}}
        better = {"d": {str(i): (e, 10) for i, e in enumerate(edits)}}
        low, high = compare.bootstrap(compare.arrays([[worse, worse], [better]]), 300, 1)
        self.assertTrue(0.03 < low < 0.05 < high < 0.07, (low, high))
        low, high = compare.bootstrap(compare.arrays([[better], [better]]), 50, 1)
        self.assertEqual((low, high), (0.0, 0.0))

    def test_a_results_file_gives_back_the_runs_it_was_made_of(self):
        rows = {"a": {"1.wav": (2, 10), "2.wav": (0, 7)}, "b": {"1.wav": (1, 3)}}
        utterances = {d: {"names": sorted(r), "lengths": [r[n][1] for n in sorted(r)]} for d, r in rows.items()}
        runs = [results.summary(program, {"seed": 1}, rows, utterances) for program in ("trainer", "peer", "peer")]
        self.assertEqual(runs[0]["cer_percent"], {"macro": 22.55, "a": 11.76, "b": 33.33})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.json"
            path.write_text(results.as_lines({"runs": runs, "utterances": utterances}), encoding="utf-8")
            self.assertEqual(results.read(path), [[rows], [rows, rows]])


class GoldenUpdate(unittest.TestCase):
    def test_the_committed_files_are_what_the_program_writes(self):
        committed = Path(__file__).resolve().parents[3] / "tests/golden/update"
        with tempfile.TemporaryDirectory() as folder:
            golden_update.make(Path(folder))
            self.assertEqual((committed / "config.json").read_bytes(), (Path(folder) / "config.json").read_bytes())
            expected = acoustic.load_file(str(committed / "update.safetensors"))
            found = acoustic.load_file(str(Path(folder) / "update.safetensors"))
            self.assertEqual(set(expected), set(found))
            for name, tensor in expected.items():
                self.assertTrue(torch.allclose(tensor, found[name], rtol=1e-5, atol=2e-5), name)  # another processor's FFT: 6e-6


if __name__ == "__main__":
    unittest.main()
