#include "trainer/engine/update/update.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "models/acoustic_model.h"
#include "models/torch_prelude.h"
#include "tests/support/fake_communicator.h"
#include "trainer/base/registry.h"
#include "trainer/engine/update/parameter_groups.h"

namespace rehearse {
namespace {

// Plain gradient descent, so that every number can be worked out by hand.
struct Small {
  ParameterStore store{5, at::TensorOptions().dtype(at::kFloat)};
  at::Tensor first = store.constant("blocks.1.weight", {40}, 1), second = store.constant("blocks.12.weight", {20}, 1),
             head = store.constant("head.bias", {3}, 1);
  Arena arena{store};
  FakeCommunicator lone{1};
  std::unique_ptr<Optimizer> optimizer;
  Small() {
    Config config = Config::parse("{momentum: 0, weight_decay: 0}");
    optimizer = Registry<Optimizer>::instance().create("sgd", config.root(), {arena.num_elements()});
  }
  Update::Result apply(Update& update, float gradient, double lr, uint64_t index = 1, double tokens = 1) {
    arena.begin_update();
    for (const at::Tensor& one : {first, second, head}) one.mutable_grad().fill_(gradient);
    StepTally total;
    total.normalizer = tokens;
    total.loss = 2 * tokens;
    return update.apply(total, arena.gradient_totals().sum_of_squares, lr, index);
  }
};

constexpr double kRoot = 7.937253933193772;  // √63, the number of parameters

TEST(Update, DividesByTheTokensOfAllRanks) {
  Small small;
  Update update({.clip_norm = 0}, small.arena, *small.optimizer, small.lone);
  const Update::Result result = small.apply(update, 10, 0.1, 1, 20);
  EXPECT_EQ(result.outcome, Update::Outcome::kApplied);
  EXPECT_NEAR(result.gradient_norm, kRoot / 2, 1e-6);
  EXPECT_NEAR(small.first[0].item<float>(), 1 - 0.1 * 0.5, 1e-6);
}

TEST(Update, ClipsTheNormOfTheWholeGradient) {
  Small small;
  Update update({.clip_norm = 1}, small.arena, *small.optimizer, small.lone);
  EXPECT_NEAR(small.apply(update, 5, 0.1).gradient_norm, 5 * kRoot, 1e-5) << "the norm before clipping is reported";
  EXPECT_NEAR(small.head[0].item<float>(), 1 - 0.1 / kRoot, 1e-6);
}

TEST(Update, AGradientThatIsNotFiniteChangesNothing) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Small small;
    Update update({.ema_decay = 0.9}, small.arena, *small.optimizer, small.lone);
    const Update::Result result = small.apply(update, bad, 0.1);
    EXPECT_EQ(result.outcome, Update::Outcome::kLeftOut);
    EXPECT_NE(result.reason.find("not finite"), std::string::npos);
    EXPECT_EQ(small.first[0].item<float>(), 1);
    EXPECT_TRUE(at::equal(update.average().parameters, small.arena.parameters())) << "nothing has been averaged yet";
  }
}

TEST(Update, TheLossScaleCancelsOut) {
  Small plain, scaled;
  Update without({.clip_norm = 1}, plain.arena, *plain.optimizer, plain.lone);
  Update with({.clip_norm = 1, .loss_scale = {1024, 100}}, scaled.arena, *scaled.optimizer, scaled.lone);
  const Update::Result expected = plain.apply(without, 5, 0.1);
  EXPECT_DOUBLE_EQ(scaled.apply(with, 5 * 1024, 0.1).gradient_norm, expected.gradient_norm);
  EXPECT_TRUE(at::equal(scaled.arena.parameters(), plain.arena.parameters())) << "powers of two round nothing";
}

TEST(Update, TheLossScaleFallsWithAnOverflowAndGrowsAfterManyUpdates) {
  Small small;
  Update update({.clip_norm = 0, .loss_scale = {1024, 3}}, small.arena, *small.optimizer, small.lone);
  const Update::Result bad = small.apply(update, std::numeric_limits<float>::infinity(), 0.1);
  EXPECT_NE(bad.reason.find("loss scale 512"), std::string::npos) << bad.reason;
  EXPECT_EQ(update.loss_scale().factor(), 512);
  for (uint64_t i = 1; i <= 2; ++i) small.apply(update, 1, 0.1, i);
  EXPECT_EQ(update.loss_scale().factor(), 512);
  small.apply(update, 1, 0.1, 3);
  EXPECT_EQ(update.loss_scale().factor(), 1024);
  LossScale copy({1024, 3});
  copy.load(update.loss_scale().save());
  EXPECT_EQ(copy.save(), update.loss_scale().save());
}

TEST(Update, WithoutTokensNothingHappens) {
  Small small;
  Update update({}, small.arena, *small.optimizer, small.lone);
  EXPECT_EQ(small.apply(update, 1, 0.1, 1, 0).outcome, Update::Outcome::kNothingDrawn);
}

TEST(Update, AnOutlierIsLeftOutWithItsReason) {
  Small small;
  Update update({.clip_norm = 0, .guard = {.z_score = 4, .window = 20}}, small.arena, *small.optimizer, small.lone);
  for (uint64_t i = 1; i <= 20; ++i) small.apply(update, 1, 0.0, i);
  const Update::Result result = small.apply(update, 1000, 1, 21);
  EXPECT_EQ(result.outcome, Update::Outcome::kLeftOut);
  EXPECT_NE(result.reason.find("gradient norm"), std::string::npos) << result.reason;
  EXPECT_EQ(small.first[0].item<float>(), 1);
}

TEST(Update, TheAverageFollowsTheWeightsAndIsUsedOnlyWhileAsked) {
  Small small;
  Update update({.clip_norm = 0, .ema_decay = 0.999}, small.arena, *small.optimizer, small.lone);
  double weight = 1, average = 1;
  for (uint64_t i = 1; i <= 5; ++i) {
    small.apply(update, 1, 0.1, i);
    weight -= 0.1;
    const double decay = (1.0 + static_cast<double>(i)) / (10.0 + static_cast<double>(i));
    average = decay * average + (1 - decay) * weight;
  }
  EXPECT_NEAR(small.second[3].item<float>(), weight, 1e-5);
  {
    const AveragedWeights averaged(update, small.arena);
    EXPECT_NEAR(small.second[3].item<float>(), average, 1e-5);
  }
  EXPECT_NEAR(small.second[3].item<float>(), weight, 1e-5);
}

// A model with batch norm in its arena, an optimizer that does nothing and a batch.
struct Normed {
  Config config, rule = Config::parse("{momentum: 0, weight_decay: 0}");
  AcousticModel model;
  Arena arena;
  FakeCommunicator lone{1};
  std::unique_ptr<Optimizer> optimizer;
  explicit Normed(const std::string& group)
      : config(Config::parse("blocks:\n  - {type: conv, channels: 6, kernel: 3, norm: batch, norm_group: " + group +
                             "}\n  - {type: conv, channels: 6, kernel: 3, norm: batch, norm_group: " + group + "}\n")),
        model(config.root(), {4, 5, 1, at::TensorOptions().dtype(at::kFloat), {}}),
        arena(model.store()) {
    optimizer = Registry<Optimizer>::instance().create("sgd", rule.root(), {arena.num_elements()});
  }
  void micro_batch(float input) {
    model.forward({at::arange(2 * 9 * 4, at::kFloat).view({2, 9, 4}).cos() * input, {9, 7}}, {true, 1, 0, {1, 2}})
        .x.square()
        .sum()
        .backward();
  }
  Update::Result apply(Update& update, double loss, double micro_batches) {
    StepTally total;
    total.normalizer = 1;
    total.loss = loss;
    total.micro_batches = micro_batches;
    const Update::Result result = update.apply(total, arena.gradient_totals().sum_of_squares, 0.0, 1);
    arena.begin_update();
    return result;
  }
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(RunningStatistics, OfAnUpdateThatIsLeftOutAreForgotten) {
  for (const char* group : {"all_ranks", "micro_batch"}) {
    SCOPED_TRACE(group);
    Normed disturbed(group), quiet(group);
    Update update({.clip_norm = 0}, disturbed.arena, *disturbed.optimizer, disturbed.lone);
    Update other({.clip_norm = 0}, quiet.arena, *quiet.optimizer, quiet.lone);
    for (Normed* one : {&disturbed, &quiet}) {
      one->micro_batch(1);
      one->micro_batch(2);
    }
    EXPECT_TRUE(at::equal(disturbed.arena.buffers(), Normed(group).arena.buffers())) << "forward passes only measure";
    EXPECT_EQ(disturbed.apply(update, 1, 2).outcome, Update::Outcome::kApplied);
    quiet.apply(other, 1, 2);
    const at::Tensor before = disturbed.arena.buffers().clone();
    EXPECT_FALSE(at::equal(before, Normed(group).arena.buffers()));
    disturbed.micro_batch(3);
    EXPECT_EQ(disturbed.apply(update, kInfinity, 1).outcome, Update::Outcome::kLeftOut);
    EXPECT_TRUE(at::equal(disturbed.arena.buffers(), before));
    for (Normed* one : {&disturbed, &quiet}) one->micro_batch(4);
    disturbed.apply(update, 1, 1);
    quiet.apply(other, 1, 1);
    EXPECT_TRUE(at::equal(disturbed.arena.buffers(), quiet.arena.buffers())) << "as if it had never been";
  }
}

// The variance of a large activation overflows where its normalised value, and so the gradient, does not.
TEST(RunningStatistics, ThatAreNotFiniteLeaveOutTheUpdate) {
  for (const char* group : {"all_ranks", "micro_batch"}) {
    SCOPED_TRACE(group);
    Normed normed(group);
    Update update({.clip_norm = 0}, normed.arena, *normed.optimizer, normed.lone);
    const at::Tensor before = normed.arena.buffers().clone();
    normed.micro_batch(1e30f);
    EXPECT_TRUE(normed.arena.gradients().isfinite().all().item<bool>()) << "the gradient does not show it";
    const Update::Result result = normed.apply(update, 1, 1);
    EXPECT_EQ(result.outcome, Update::Outcome::kLeftOut);
    EXPECT_FALSE(result.is_finite);
    EXPECT_TRUE(at::equal(normed.arena.buffers(), before));
  }
}

TEST(RunningStatistics, AreAveragedWithTheWeights) {
  Normed normed("all_ranks");
  Update update({.clip_norm = 0, .ema_decay = 0.999}, normed.arena, *normed.optimizer, normed.lone);
  const at::Tensor before = normed.arena.buffers().clone();
  normed.micro_batch(5);
  normed.apply(update, 1, 1);
  const at::Tensor live = normed.arena.buffers().clone();
  {
    const AveragedWeights averaged(update, normed.arena);
    // The first decay is 2/11.
    EXPECT_TRUE(at::allclose(normed.arena.buffers(), before * (2.0 / 11) + live * (9.0 / 11), 1e-5, 1e-6));
    EXPECT_FALSE(at::allclose(normed.arena.buffers(), live, 1e-3, 1e-3));
  }
  EXPECT_TRUE(at::equal(normed.arena.buffers(), live));
}

TEST(Update, TheBitsDoNotDependOnTheThreads) {
  const int before = at::get_num_threads();
  std::vector<at::Tensor> results;
  std::vector<double> sums;
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    ParameterStore store{5, at::TensorOptions().dtype(at::kFloat)};
    const at::Tensor large = store.weight("large", {300007}, 1), small = store.weight("small", {77}, 1);
    Arena arena(store);
    Config rule = Config::parse("{}");
    FakeCommunicator lone(1);
    auto optimizer = Registry<Optimizer>::instance().create("adamw", rule.root(), {arena.num_elements()});
    Update update({.clip_norm = 1}, arena, *optimizer, lone);
    for (uint64_t index = 1; index <= 3; ++index) {
      arena.begin_update();
      large.mutable_grad().copy_((large.detach() * 3).sin());
      small.mutable_grad().copy_((small.detach() * 5).cos());
      StepTally total;
      total.normalizer = 7;
      sums.push_back(arena.gradient_totals().sum_of_squares);
      EXPECT_EQ(sums.back(), sum_of_squares({arena.gradients().const_data_ptr<float>(), arena.num_elements()}));
      update.apply(total, sums.back(), 0.01, index);
    }
    results.push_back(arena.parameters());
  }
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(results[0], results[1]));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(sums[i], sums[i + 3]);
}

TEST(ShardBounds, CoverTheArenaInAlignedSlices) {
  for (const size_t elements : {16u, 48u, 1008u, 100000u})
    for (const int shards : {1, 2, 3, 4, 7}) {
      const std::vector<size_t> bounds = shard_bounds(elements, shards);
      ASSERT_EQ(bounds.size(), static_cast<size_t>(shards) + 1);
      EXPECT_EQ(bounds.front(), 0u);
      EXPECT_EQ(bounds.back(), elements);
      EXPECT_TRUE(std::is_sorted(bounds.begin(), bounds.end()));
      for (size_t i = 0; i + 1 < bounds.size(); ++i) EXPECT_EQ(bounds[i] % 16, 0u);
    }
}

void apply_groups(Small& small, const std::string& yaml) {
  Config config = Config::parse(yaml, "run.yaml");
  apply_parameter_groups(config.root(), small.arena);
  config.root().expect_all_read();
}

TEST(ParameterGroups, APrefixEndsAtADotAndScalesTheRate) {
  Small small;
  apply_groups(small, "{lr_scale: {blocks.1: 0.5, head: 2}}");
  Update update({.clip_norm = 0}, small.arena, *small.optimizer, small.lone);
  small.apply(update, 1, 0.1);
  EXPECT_NEAR(small.first[0].item<float>(), 0.95, 1e-6);
  EXPECT_NEAR(small.second[0].item<float>(), 0.9, 1e-6) << "blocks.12 is not under blocks.1";
  EXPECT_NEAR(small.head[0].item<float>(), 0.8, 1e-6);
}

TEST(ParameterGroups, TheLongestPrefixCounts) {
  Small small;
  apply_groups(small, "{lr_scale: {blocks.1.weight: 3, blocks: 0.5}}");
  for (const Segment& segment : small.arena.segments()) {
    if (segment.name == "head.bias") continue;
    EXPECT_EQ(segment.lr_scale, segment.name == "blocks.1.weight" ? 3 : 0.5) << segment.name;
  }
}

TEST(ParameterGroups, FrozenParametersGetNoGradientAndStay) {
  Small small;
  apply_groups(small, "{frozen: [blocks.1]}");
  EXPECT_FALSE(small.first.requires_grad());
  (small.first.sum() * small.head.sum()).backward();
  EXPECT_EQ(small.first.grad().abs().max().item<float>(), 0);
  EXPECT_GT(small.head.grad().abs().max().item<float>(), 0);
  Update update({.clip_norm = 0}, small.arena, *small.optimizer, small.lone);
  small.apply(update, 1, 0.1);
  EXPECT_EQ(small.first[0].item<float>(), 1);
}

TEST(ParameterGroups, AFrozenBatchNormEvaluatesAndKeepsItsStatistics) {
  for (const char* group : {"all_ranks", "micro_batch"}) {
    SCOPED_TRACE(group);
    const std::string norm = concat(", norm: batch, norm_group: ", group, "}\n");
    Config config = Config::parse("blocks:\n  - {type: conv, channels: 6, kernel: 3" + norm +
                                  "  - {type: conv, channels: 6, kernel: 3" + norm);
    AcousticModel model(config.root(), {4, 5, 1, at::TensorOptions().dtype(at::kFloat), {}});
    Arena arena(model.store());
    Config groups = Config::parse("{frozen: [blocks.0]}", "run.yaml");
    apply_parameter_groups(groups.root(), arena);
    arena.buffers().fill_(0.5);
    arena.begin_update();
    model.forward({at::ones({2, 9, 4}), {9, 7}}, {true, 1, 0, {1, 2}}).x.sum().backward();
    arena.move_buffers(1);
    for (const Segment& buffer : arena.buffer_segments()) {
      const float value = arena.buffers()[static_cast<int64_t>(buffer.offset)].item<float>();
      EXPECT_EQ(value == 0.5f, buffer.name.starts_with("blocks.0.")) << buffer.name << " " << value;
    }
  }
}

TEST(ParameterGroups, APrefixThatNamesNothingIsRefusedWithTheKnownOnes) {
  Small small;
  try {
    apply_groups(small, "{lr_scale: {block.1: 0.5}}");
    FAIL() << "expected a refusal";
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("run.yaml:1"), std::string::npos) << text;
    EXPECT_NE(text.find("blocks.1, blocks.12, head"), std::string::npos) << text;
  }
  EXPECT_THROW(apply_groups(small, "{frozen: [blocks, head]}"), ConfigError) << "nothing would be left";
}

}  // namespace
}  // namespace rehearse
