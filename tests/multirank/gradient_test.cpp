// The same global batch gives the same gradient, batch statistics and evaluation in every world.
#include <gtest/gtest.h>

#include "data/text/tokenizer.h"
#include "models/acoustic_model.h"
#include "models/ops/ctc_loss.h"
#include "models/torch_prelude.h"
#include "tests/data/text/text_support.h"
#include "tests/multirank/world_fixture.h"
#include "tests/support/fake_communicator.h"
#include "tests/support/toy_run.h"
#include "trainer/base/random.h"
#include "trainer/engine/evaluate/evaluator.h"
#include "trainer/engine/exchange/reducer.h"
#include "trainer/engine/train_parts.h"
#include "trainer/engine/update/arena.h"

namespace rehearse {
namespace {

constexpr int64_t kChannels = 12, kClasses = 6, kFrames = 60;
constexpr size_t kMicroBatches = 4, kPerBatch = 2;

AllReduceSum sum_over_ranks() {
  if (communicator().size() == 1) return {};
  return [](at::Tensor& values) {
    communicator()
        .all_reduce_sum(std::span(values.data_ptr<double>(), static_cast<size_t>(values.numel())), "all_reduce (norm)")
        .get();
  };
}

// A model in its arena. `norm` of the blocks.
struct Built {
  Config config;
  AcousticModel model;
  Arena arena;
  Built(const std::string& norm, at::ScalarType type, AllReduceSum all_reduce_sum)
      : config(Config::parse(
            "blocks:\n  - {type: subsample, channels: 12, factor: 2, norm: " + norm +
            "}\n  - {type: separable, channels: 12, kernel: 5, repeat: 2, squeeze_excite: 4, norm: " + norm + "}\n")),
        model(config.root(), {kChannels, kClasses, 3, at::TensorOptions().dtype(type), std::move(all_reduce_sum)}),
        arena(model.store()) {}

  // The loss sum of utterances first … last - 1 of the global batch.
  at::Tensor loss(size_t first, size_t last, at::ScalarType type) {
    std::vector<int64_t> lengths;
    std::vector<uint64_t> ids;
    std::vector<std::vector<int32_t>> targets;
    at::Tensor x = at::zeros({static_cast<int64_t>(last - first), kFrames, kChannels}, at::kDouble);
    for (size_t u = first; u < last; ++u) {
      const RandomKey key = RandomKey(17).with(u);
      lengths.push_back(kFrames - static_cast<int64_t>(5 * (u % 4)));
      ids.push_back(u);
      targets.push_back({static_cast<int32_t>(u % 5), static_cast<int32_t>((u + 2) % 5)});
      auto rows = x[static_cast<int64_t>(u - first)];
      for (int64_t t = 0; t < lengths.back(); ++t)
        for (int64_t c = 0; c < kChannels; ++c) rows[t][c] = key.normal(static_cast<uint64_t>(t * kChannels + c));
    }
    const Sequence logits = model.forward({x.to(type), lengths}, {true, 1, 0, ids});
    return ctc_loss(logits.x, logits.lengths, targets, model.blank(), std::vector<double>(lengths.size(), 1.0)).sum;
  }
};

// Relative difference of the whole gradient and the largest of one tensor.
struct Difference {
  double whole = 0, worst = 0;
  std::string worst_name;
};

Difference compare(Arena& found, Arena& expected) {
  Difference difference;
  const auto elements = static_cast<int64_t>(expected.num_elements());
  const at::Tensor a = found.gradients().slice(0, 0, elements).to(at::kDouble),
                   b = expected.gradients().slice(0, 0, elements).to(at::kDouble);
  difference.whole = ((a - b).norm() / b.norm()).item<double>();
  for (const Segment& segment : expected.segments()) {
    const auto from = static_cast<int64_t>(segment.offset), to = from + static_cast<int64_t>(segment.length);
    const double scale = std::max(b.slice(0, from, to).norm().item<double>(), 1e-3 * b.norm().item<double>());
    const double one = (a.slice(0, from, to) - b.slice(0, from, to)).norm().item<double>() / scale;
    if (one > difference.worst) difference.worst = one, difference.worst_name = segment.name;
  }
  return difference;
}

// This world's gradient of the global batch against that of one rank, computed here without communication.
Difference whole_gradient_difference(at::ScalarType type) {
  Built reference("layer", type, {}), shared("layer", type, {});
  for (size_t m = 0; m < kMicroBatches; ++m) reference.loss(m * kPerBatch, (m + 1) * kPerBatch, type).backward();
  Reducer reducer(shared.arena, communicator(), {.bucket_bytes = 512});
  shared.arena.begin_update();
  const size_t per_rank = kMicroBatches / static_cast<size_t>(communicator().size());
  const size_t first = per_rank * static_cast<size_t>(communicator().rank());
  for (size_t m = first; m < first + per_rank; ++m) {
    const at::Tensor loss = shared.loss(m * kPerBatch, (m + 1) * kPerBatch, type);
    if (m + 1 == first + per_rank) reducer.arm();
    loss.backward();
  }
  reducer.finish();
  EXPECT_GT(reducer.num_buckets(), 3u);
  return compare(shared.arena, reference.arena);
}

TEST(WholeGradient, InDoubleEqualsThatOfOneRank) {
  const Difference difference = whole_gradient_difference(at::kDouble);
  EXPECT_LE(difference.whole, 1e-12);
  EXPECT_LE(difference.worst, 1e-12) << difference.worst_name;
}

TEST(WholeGradient, InFloatEqualsThatOfOneRank) {
  const Difference difference = whole_gradient_difference(at::kFloat);
  EXPECT_LE(difference.whole, 1e-6);
  EXPECT_LE(difference.worst, 1e-5) << difference.worst_name;
}

// One micro-batch of eight over all ranks against the same eight on one.
TEST(BatchNorm, StatisticsAndGradientsAreThoseOfTheGlobalBatch) {
  Built reference("batch", at::kDouble, {}), shared("batch", at::kDouble, sum_over_ranks());
  reference.loss(0, 8, at::kDouble).backward();
  Reducer reducer(shared.arena, communicator(), {.bucket_bytes = 1 << 20});
  const size_t own = 8 / static_cast<size_t>(communicator().size());
  const size_t first = own * static_cast<size_t>(communicator().rank());
  shared.arena.begin_update();
  const at::Tensor loss = shared.loss(first, first + own, at::kDouble);
  reducer.arm();
  loss.backward();
  reducer.finish();
  const Difference difference = compare(shared.arena, reference.arena);
  EXPECT_LE(difference.whole, 1e-10);
  EXPECT_LE(difference.worst, 1e-8) << difference.worst_name;
  reference.arena.move_buffers(1);
  shared.arena.move_buffers(1);
  EXPECT_LE((shared.arena.buffers() - reference.arena.buffers()).abs().max().item<double>(), 1e-12);
  EXPECT_GT((reference.arena.buffers() - 0.5).abs().max().item<double>(), 0.4) << "there are statistics to compare";
}

// Four micro-batches, dealt out to the ranks: their statistics are their own, so every world computes the same.
TEST(BatchNorm, PerMicroBatchGradientsAndRunningStatisticsAreThoseOfOneRank) {
  const std::string norm = "batch, norm_group: micro_batch";
  Built reference(norm, at::kDouble, {}), shared(norm, at::kDouble, sum_over_ranks());
  for (size_t m = 0; m < kMicroBatches; ++m) reference.loss(m * kPerBatch, (m + 1) * kPerBatch, at::kDouble).backward();
  Reducer reducer(shared.arena, communicator(), {.bucket_bytes = 512});
  shared.arena.begin_update();
  const size_t per_rank = kMicroBatches / static_cast<size_t>(communicator().size());
  const size_t first = per_rank * static_cast<size_t>(communicator().rank());
  for (size_t m = first; m < first + per_rank; ++m) {
    const at::Tensor loss = shared.loss(m * kPerBatch, (m + 1) * kPerBatch, at::kDouble);
    if (m + 1 == first + per_rank) reducer.arm();
    loss.backward();
  }
  reducer.finish();
  const Difference difference = compare(shared.arena, reference.arena);
  EXPECT_LE(difference.whole, 1e-12);
  EXPECT_LE(difference.worst, 1e-12) << difference.worst_name;
  reference.arena.move_buffers(kMicroBatches);
  shared.arena.move_buffers(kMicroBatches);
  EXPECT_LE((shared.arena.buffers() - reference.arena.buffers()).abs().max().item<double>(), 1e-12);
  EXPECT_GT((reference.arena.buffers() - 0.5).abs().max().item<double>(), 0.4) << "there are statistics to compare";
  shared.arena.begin_update();
  EXPECT_EQ(shared.arena.buffer_sums().abs().max().item<double>(), 0) << "the next update starts anew";
}

TEST(Reducer, ARankWithoutAnyGradientDoesNotHangTheOthers) {
  Built built("layer", at::kFloat, {});
  Reducer reducer(built.arena, communicator(), {.bucket_bytes = 512});
  built.arena.begin_update();
  reducer.arm();
  const bool is_idle = communicator().rank() + 1 == communicator().size() && communicator().size() > 1;
  if (!is_idle) built.loss(0, 1, at::kFloat).backward();
  reducer.finish();
  Built one("layer", at::kFloat, {});
  one.loss(0, 1, at::kFloat).backward();
  const double times = communicator().size() - (is_idle || communicator().size() > 1 ? 1 : 0);
  const auto elements = static_cast<int64_t>(one.arena.num_elements());
  EXPECT_TRUE(at::allclose(built.arena.gradients().slice(0, 0, elements),
                           one.arena.gradients().slice(0, 0, elements) * times, 1e-4, 1e-4));
}

TEST(Evaluation, FiguresAreThoseOfOneRank) {
  const TemporaryFolder folder("multirank");
  write_toy_set(folder.path(), "loud_valid.jsonl", "loud", toy_texts(9, 3));
  write_toy_set(folder.path(), "soft_valid.jsonl", "soft", toy_texts(6, 4));
  const std::string tokens = (folder.path() / "tokens.txt").string();
  train_tokenizer("char", 0, {"abcd "}, tokens);
  const std::string at = folder.path().string();
  Config config = Config::parse(
      "features: {channels: 16}\nmodel: {blocks: [{type: subsample, channels: 16, factor: 2}, "
      "{type: separable, channels: 16, kernel: 5}]}\n"
      "data: {train: [" +
      at + "/loud_valid.jsonl, " + at + "/soft_valid.jsonl], tokenizer: " + tokens + "}\n");
  Model model(config, 1);
  const auto set = model.task().training_set();
  FakeCommunicator lone(1);
  const auto expected = score_set(model.task(), *set, {4, 1, true, {}}, lone);
  const auto found = score_set(model.task(), *set, {4, 2, true, {}}, communicator());
  ASSERT_EQ(found.size(), 15u);
  double edits = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].example, expected[i].example);
    EXPECT_EQ(found[i].detail, expected[i].detail);
    EXPECT_EQ(found[i].loss, expected[i].loss);
    EXPECT_EQ(found[i].sums, expected[i].sums);
    edits += found[i].sums.at(0);
  }
  EXPECT_GT(edits, 0) << "an untrained model makes mistakes";
  const auto domains = scores_by_domain(set->dataset, found);
  ASSERT_EQ(domains.size(), 2u);
  EXPECT_EQ(domains[0].examples, 9u);
  EXPECT_EQ(domains[1].examples, 6u);
}

}  // namespace
}  // namespace rehearse
