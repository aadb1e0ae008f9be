// Conformance: what every registered block promises, on its own example and on the variants below.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "models/ops/fused_ops.h"
#include "models/ops/mixed_ops.h"
#include "tests/models/tensor_support.h"

namespace rehearse {
namespace {

using namespace testing_support;

constexpr int64_t kChannels = 12;
constexpr double kOutputRoundings = 4;
constexpr double kGradientRoundings = 24;

std::vector<std::string> block_lines() {
  std::vector<std::string> lines;
  for (const auto& [name, entry] : Registry<Block>::instance().entries()) lines.push_back(entry.example);
  for (const char* norm : {"layer", "group, norm_groups: 3", "batch", "none"}) {
    lines.push_back(concat("{type: conv, channels: 9, kernel: 3, norm: ", norm, ", activation: silu}"));
    lines.push_back(concat("{type: separable, channels: 12, kernel: 5, squeeze_excite: 3, norm: ", norm, "}"));
  }
  lines.push_back("{type: separable, channels: 12, kernel: 5, dilation: 3, residual: false, squeeze_excite: 0}");
  lines.push_back("{type: separable, channels: 18, kernel: 3, repeat: 3, dropout: 0.5, activation: silu}");
  lines.push_back("{type: separable, channels: 12, kernel: 3, shortcut: projected, bias: false, norm: batch}");
  lines.push_back("{type: separable, channels: 18, kernel: 3, stride: 2, shortcut: projected, activation: silu}");
  lines.push_back("{type: separable, channels: 12, kernel: 3, repeat: 3, stride: 2, stride_at: last, norm: batch}");
  lines.push_back("{type: subsample, channels: 10, factor: 8, kernel: 5, norm: batch}");
  lines.push_back("{type: transformer, heads: 3, ff: 20, activation: relu}");
  for (const char* norm : {"layer", "group, norm_groups: 3", "batch", "none"}) {
    lines.push_back(concat("{type: conv2d, width: 4, channels: 9, padding: same, norm: ", norm, ", activation: silu}"));
    lines.push_back(concat("{type: dense, units: 9, frames: 2, norm: ", norm, ", activation: silu}"));
  }
  lines.push_back("{type: conv2d, width: 12, channels: 5, stride: 2, norm: none, dropout: 0.3}");
  lines.push_back("{type: conv2d, width: 6, channels: 5, kernel: 1, norm: none}");
  lines.push_back("{type: conv2d, width: 3, channels: 5, kernel: 3, padding: same, stride: 3, activation: none}");
  lines.push_back("{type: dense, units: 9, norm: none, activation: none, dropout: 0.3}");
  lines.push_back("{type: max_pool2d, width: 6, size: 3, stride: 1}");
  lines.push_back("{type: max_pool2d, width: 12, size: 2, stride: 3}");
  lines.push_back("{type: transformer, heads: 3, ff: 20, drop_path: 0.5, layers: 3}");
  lines.push_back("{type: separable, channels: 12, kernel: 3, drop_path: 0.3}");
  lines.push_back("{type: separable, channels: 12, kernel: 3, squeeze_excite: 0, drop_path: 0.3}");
  lines.push_back("{type: conformer, heads: 3, ff: 20, kernel: 3, positions: rotary, norm: batch}");
  for (const char* cell : {"gru", "lstm", "rnn", "rnn, activation: clipped_relu"})
    lines.push_back(concat("{type: recurrent, cell: ", cell, ", units: 7, norm: none}"));
  lines.push_back("{type: recurrent, cell: lstm, units: 9, bidirectional: false, layers: 2, norm: batch}");
  return lines;
}

struct EveryBlock : testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Example, EveryBlock, testing::ValuesIn(block_lines()),
                         [](const auto& info) { return concat(info.index); });

// Batch statistics couple utterances in training only; this is evaluation.
TEST_P(EveryBlock, GivesAnUtteranceTheSameResultAloneAndInAnyBatch) {
  BuiltBlock built(GetParam(), kChannels, at::kFloat);
  const std::vector<int64_t> lengths{29, 40, 1, 17};
  const Sequence batch = noise_batch(lengths, 47, kChannels, 3, at::kFloat);
  const Sequence together = built.block->forward(batch, {});
  for (int64_t b = 0; b < 4; ++b) {
    const Sequence alone = built.block->forward({batch.x.slice(0, b, b + 1).slice(1, 0, lengths[b]), {lengths[b]}}, {});
    ASSERT_EQ(alone.lengths[0], together.lengths[b]);
    EXPECT_LE(difference(alone.x[0], together.x[b].slice(0, 0, alone.lengths[0])), 1e-5);
  }
}

TEST_P(EveryBlock, StatesItsLengthsAndKeepsPaddingZero) {
  BuiltBlock built(GetParam(), kChannels, at::kFloat);
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{1}, {7, 20, 3}, {16, 15}, {0, 9}}) {
    const int64_t frames = 20;
    const Sequence input = noise_batch(lengths, frames, kChannels, 9, at::kFloat);
    const Sequence output = built.block->forward(input, training_context(std::vector<uint64_t>(lengths.size(), 4)));
    ASSERT_EQ(output.x.size(1), built.block->output_length(frames));
    ASSERT_EQ(output.x.size(2), built.block->output_channels());
    EXPECT_TRUE(std::isfinite(output.x.sum().item<double>()));
    for (size_t b = 0; b < lengths.size(); ++b) {
      ASSERT_EQ(output.lengths[b], built.block->output_length(lengths[b]));
      EXPECT_EQ(largest(output.x[static_cast<int64_t>(b)].slice(0, output.lengths[b])), 0);
    }
  }
}

TEST_P(EveryBlock, HasTheGradientsOfFiniteDifferences) {
  BuiltBlock built(GetParam(), kChannels, at::kDouble);
  Sequence input = noise_batch({13, 21, 4}, 21, kChannels, 5, at::kDouble);
  input.x.set_requires_grad(true);
  const at::Tensor mask = frame_mask(input.x, input.lengths);
  std::vector<Parameter> tensors = built.store.parameters();
  tensors.push_back({"x", input.x});
  // The mask keeps the contract "padding is zero" while x is shifted.
  const auto loss = [&] {
    const Sequence output = built.block->forward({input.x * mask, input.lengths}, training_context({4, 5, 6}));
    return (output.x * noise(output.x.sizes().vec(), 77)).sum();
  };
  expect_gradients(loss, tensors);
}

TEST_P(EveryBlock, IsBitEqualWhenRepeatedAndOnAnyNumberOfThreads) {
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    BuiltBlock built(GetParam(), kChannels, at::kFloat);
    Sequence input = noise_batch({300, 170, 260}, 300, kChannels, 5, at::kFloat);
    input.x.set_requires_grad(true);
    const Sequence output = built.block->forward(input, training_context({4, 5, 6}));
    output.x.square().sum().backward();
    std::vector<at::Tensor> results{output.x.detach(), input.x.grad()};
    for (const Parameter& parameter : built.store.parameters()) results.push_back(parameter.tensor.grad());
    return results;
  };
  const auto first = run(1), second = run(1);
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(first[i].equal(second[i]));
  // The matrix products of libtorch may split differently over threads; everything of ours may not.
  const auto threaded = run(2);
  for (size_t i = 0; i < first.size(); ++i)
    EXPECT_LE(difference(first[i], threaded[i]), 1e-5 * (1 + largest(first[i])));
  at::set_num_threads(1);
}

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).norm().item<double>() / (expected.norm().item<double>() + 1e-12);
}

// Operands rounded to 8 or 11 bits: sums of rounded products are off by about one rounding.
TEST_P(EveryBlock, InLowerPrecisionIsOffByAFewRoundingsAndKeepsItsType) {
  const auto run = [&](Precision precision) {
    BuiltBlock built(GetParam(), kChannels, at::kFloat);
    Sequence input = noise_batch({30, 17}, 30, kChannels, 5, at::kFloat);
    input.x.set_requires_grad(true);
    ForwardContext context = training_context({4, 5});
    context.precision = precision;
    const Sequence output = built.block->forward(input, context);
    (output.x * noise(output.x.sizes().vec(), 77, at::kFloat)).sum().backward();
    std::vector<at::Tensor> results{output.x.detach(), input.x.grad()};
    for (const Parameter& parameter : built.store.parameters()) results.push_back(parameter.tensor.grad());
    return results;
  };
  const auto expected = run(Precision::kFull);
  for (const auto& [precision, rounding] : {std::pair(Precision::kBfloat16, 0x1p-8), {Precision::kFloat16, 0x1p-11}}) {
    const auto found = run(precision);
    const bool has_parameters = found.size() > 2;  // a block without any multiplies nothing
    EXPECT_EQ(difference(found[0], expected[0]) > 0, has_parameters) << "products round, all else does not";
    for (const at::Tensor& one : found) EXPECT_EQ(one.scalar_type(), at::kFloat);
    EXPECT_LE(relative_error(found[0], expected[0]), kOutputRoundings * rounding);
    // A rounding that flips the sign before a relu moves the gradient there by all of it.
    const auto says = [](const char* word) { return GetParam().find(word) != std::string::npos; };
    const bool has_relu = says("relu") || (!says("silu") && !says("transformer"));
    EXPECT_LE(relative_error(found[1], expected[1]), kGradientRoundings * rounding + (has_relu ? 0.25 : 0));
  }
}

// Two micro-batches of one update: their gradients add up, and no bit depends on who rounded the weights when.
TEST_P(EveryBlock, WeightsRoundedOnceAnUpdateGiveTheSameGradients) {
  const auto gradients = [&](RoundedWeights* rounded) {
    BuiltBlock built(GetParam(), kChannels, at::kFloat);
    for (uint64_t micro_batch : {1, 2}) {
      ForwardContext context = training_context({4, 5}, micro_batch);
      context.precision = Precision::kBfloat16;
      context.rounded_weights = rounded;
      Sequence input = noise_batch({30, 17}, 30, kChannels, 5, at::kFloat);
      input.x.set_requires_grad(true);
      const Sequence output = built.block->forward(input, context);
      (output.x * noise(output.x.sizes().vec(), 70 + micro_batch, at::kFloat)).sum().backward();
    }
    std::vector<at::Tensor> results;
    for (const Parameter& parameter : built.store.parameters()) results.push_back(parameter.tensor.grad());
    return results;
  };
  RoundedWeights rounded;
  const auto expected = gradients(nullptr), found = gradients(&rounded);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(at::equal(expected[i], found[i])) << "parameter " << i;
}

TEST_P(EveryBlock, NamesItsParametersBelowItsPrefix) {
  BuiltBlock built(GetParam(), kChannels, at::kFloat);
  for (const Parameter& parameter : built.store.parameters()) EXPECT_EQ(parameter.name.rfind("blocks.3.", 0), 0u);
}

TEST(Dropout, OfAnUtteranceDoesNotDependOnItsBatchMates) {
  BuiltBlock built("{type: conv, channels: 16, kernel: 1, norm: none, dropout: 0.5}", 16, at::kFloat);
  const Sequence batch = noise_batch({30, 20}, 30, 16, 2, at::kFloat);
  const Sequence together = built.block->forward(batch, training_context({71, 72}));
  const Sequence alone = built.block->forward({batch.x.slice(0, 1, 2), {20}}, training_context({72}));
  EXPECT_LE(difference(together.x[1], alone.x[0]), 1e-6);
  const Sequence other_step = built.block->forward(batch, training_context({71, 72}, 6));
  EXPECT_GT(difference(together.x, other_step.x), 0.1);
  const Sequence other_id = built.block->forward({batch.x.slice(0, 1, 2), {20}}, training_context({73}));
  EXPECT_GT(difference(alone.x, other_id.x), 0.1);
}

TEST(DropPath, LeavesABranchOutForAnUtteranceWhateverItsBatchMates) {
  BuiltBlock built("{type: separable, channels: 12, kernel: 3, norm: none, activation: none, drop_path: 0.5}", 12,
                   at::kFloat);
  std::vector<uint64_t> ids;
  for (uint64_t id = 0; id < 200; ++id) ids.push_back(id);
  const Sequence batch = noise_batch(std::vector<int64_t>(200, 5), 5, 12, 2, at::kFloat);
  const Sequence whole = built.block->forward(batch, {}), drawn = built.block->forward(batch, training_context(ids));
  int64_t left_out = 0;
  for (int64_t b = 0; b < 200; ++b) {
    const at::Tensor branch = whole.x[b] - batch.x[b], found = drawn.x[b] - batch.x[b];
    const bool is_left_out = largest(found) == 0;
    left_out += is_left_out;
    if (is_left_out) continue;
    EXPECT_LE(difference(found, 2 * branch), 1e-5) << "kept branches make up for those left out";
  }
  EXPECT_NEAR(static_cast<double>(left_out), 100, 30);
  const Sequence alone = built.block->forward({batch.x.slice(0, 7, 8), {5}}, training_context({7}));
  EXPECT_LE(difference(alone.x[0], drawn.x[7]), 1e-5);
}

TEST(FusedOps, AreBitEqualOnAnyNumberOfThreads) {
  const std::vector<int64_t> lengths{700, 650};
  const Sequence input = noise_batch(lengths, 700, 200, 1, at::kFloat);
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    at::Tensor x = input.x.detach().clone().set_requires_grad(true);
    at::Tensor taps = noise({9, 200}, 2, at::kFloat).set_requires_grad(true);
    at::Tensor weight = noise({200}, 3, at::kFloat).set_requires_grad(true);
    at::Tensor gate = noise({2, 200}, 4, at::kFloat).set_requires_grad(true);
    const Epilogue epilogue = Epilogue::of(Activation::kSilu, 0.3, training_context({1, 2}), 0, 0);
    const at::Tensor filtered = depthwise_conv(x, taps, lengths, 1, 1);
    const at::Tensor normed = fused_layer_norm(filtered, weight, weight, weight, lengths, epilogue);
    const at::Tensor y = fused_gate(normed, gate, x, lengths, epilogue);
    y.square().sum().backward();
    return std::vector<at::Tensor>{y.detach(), x.grad(), taps.grad(), weight.grad(), gate.grad()};
  };
  const auto one = run(1), two = run(2), four = run(4);
  at::set_num_threads(1);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(one[i].equal(two[i]));
    EXPECT_TRUE(one[i].equal(four[i]));
  }
}

// Two "ranks" of one process: the sums of both are exchanged by hand.
TEST(BatchNorm, OverTwoRanksEqualsOneBatch) {
  const char* line = "{type: conv, channels: 8, kernel: 1, norm: batch}";
  const Sequence batch = noise_batch({30, 20}, 30, kChannels, 2, at::kDouble);
  BuiltBlock whole(line, kChannels, at::kDouble);
  const at::Tensor expected = whole.block->forward(batch, training_context({1, 2})).x;
  // What the other half contributes is measured by recording its sums in a first pass.
  std::vector<at::Tensor> sums(2);
  for (int rank = 0; rank < 2; ++rank) {
    BuiltBlock half(line, kChannels, at::kDouble, [&](at::Tensor& x) { sums[rank] = x.clone(); });
    half.block->forward({batch.x.slice(0, rank, rank + 1), {batch.lengths[rank]}}, training_context({1}));
  }
  for (int rank = 0; rank < 2; ++rank) {
    BuiltBlock half(line, kChannels, at::kDouble, [&](at::Tensor& x) { x.add_(sums[1 - rank]); });
    const at::Tensor y =
        half.block->forward({batch.x.slice(0, rank, rank + 1), {batch.lengths[rank]}}, training_context({1})).x;
    EXPECT_LE(difference(y[0], expected[rank]), 1e-12);
    for (size_t i = 0; i < half.store.buffers().size(); ++i)
      EXPECT_LE(difference(half.store.buffers()[i].tensor, whole.store.buffers()[i].tensor), 1e-12);
  }
}

// Libtorch's own operators, in another order of dimensions.
TEST(Separable, AProjectedShortcutIsAProductAndANorm) {
  BuiltBlock built("{type: separable, channels: 12, kernel: 3, squeeze_excite: 0, shortcut: projected, bias: false}",
                   kChannels, at::kDouble);
  std::map<std::string, at::Tensor> named;
  for (const Parameter& one : built.store.parameters()) named[one.name.substr(9)] = one.tensor.detach();
  EXPECT_FALSE(named.contains("pointwise.0.bias") || named.contains("residual.bias"));
  const at::Tensor x = noise({2, 20, kChannels}, 4);
  const auto norm = [&](const at::Tensor& y, const std::string& name) {
    return at::layer_norm(y, {12}, named.at(name + ".weight"), named.at(name + ".bias"), 1e-5);
  };
  const at::Tensor kernel = named.at("depthwise.0.weight").transpose(0, 1).unsqueeze(1);  // [C, 1, K]
  const at::Tensor filtered = at::conv1d(x.transpose(1, 2), kernel, {}, 1, 1, 1, /*groups=*/kChannels).transpose(1, 2);
  const at::Tensor main = norm(at::linear(filtered, named.at("pointwise.0.weight")), "norm.0");
  const at::Tensor expected = at::relu(main + norm(at::linear(x, named.at("residual.weight")), "residual_norm"));
  EXPECT_LE(difference(built.block->forward({x, {20, 20}}, {}).x, expected), 1e-10);
}

TEST(ParameterStore, ValuesDependOnSeedAndNameAlone) {
  ParameterStore first(1, at::TensorOptions().dtype(at::kFloat)), second(1, at::TensorOptions().dtype(at::kFloat));
  first.constant("before", {3}, 0);
  const at::Tensor a = first.weight("layer.weight", {40, 50}, 50, 2.0);
  EXPECT_TRUE(a.equal(second.weight("layer.weight", {40, 50}, 50, 2.0)));
  EXPECT_FALSE(a.equal(second.weight("other.weight", {40, 50}, 50, 2.0)));
  EXPECT_NEAR(a.var().item<double>(), 2.0 / 50, 0.004);  // 2,000 draws of a uniform variance: five deviations
  EXPECT_LE(largest(a), std::sqrt(6.0 / 50));
  EXPECT_THROW(first.constant("before", {3}, 0), BugError);
}

}  // namespace
}  // namespace rehearse
