// Operations, memory and receptive fields of blocks, against numbers worked out by hand.
#include "models/observed_cost.h"

#include <gtest/gtest.h>

#include "models/acoustic_model.h"
#include "models/ops/fused_ops.h"
#include "tests/models/tensor_support.h"

namespace rehearse {
namespace {

using namespace testing_support;

constexpr int64_t kChannels = 12;

struct Flops {
  double forward = 0, backward = 0;
};

// Of one block for B 2, T 40; the input has a gradient unless it is data.
Flops flops_of(const std::string& line, at::ScalarType type = at::kFloat, Precision precision = Precision::kFull) {
  BuiltBlock built(line, kChannels, type);
  Sequence input = noise_batch({40, 40}, 40, kChannels, 5, type);
  input.x.requires_grad_(true);
  ForwardContext context = training_context({1, 2});
  context.precision = precision;
  Flops flops;
  at::Tensor sum;
  {
    const FlopCounter counter;
    sum = built.block->forward(input, context).x.square().sum();
    flops.forward = counter.flops();
  }
  const FlopCounter counter;
  sum.backward();
  flops.backward = counter.flops();
  return flops;
}

TEST(FlopCounter, CountsConvolutionsProductsAndDepthwiseOnce) {
  const double conv = 2.0 * 2 * 20 * 8 * 5 * kChannels;
  for (Precision precision : {Precision::kFull, Precision::kBfloat16}) {
    const Flops one = flops_of("{type: conv, channels: 8, kernel: 5, stride: 2}", at::kFloat, precision);
    EXPECT_EQ(one.forward, conv);
    EXPECT_EQ(one.backward, 2 * conv);
    const double dense = 2.0 * 2 * 40 * 30 * kChannels;
    const Flops other = flops_of("{type: dense, units: 30}", at::kFloat, precision);
    EXPECT_EQ(other.forward, dense);
    EXPECT_EQ(other.backward, 2 * dense);
  }
  const double separable = 2.0 * 2 * 40 * (kChannels * 7 + kChannels * 24 + kChannels * 24);  // and a projection
  const Flops one = flops_of("{type: separable, channels: 24, kernel: 7, squeeze_excite: 0}");
  EXPECT_EQ(one.forward, separable);
  EXPECT_EQ(one.backward, 2 * separable);
}

TEST(FlopCounter, CountsGroupedPicturesAndAttention) {
  // 12 channels are 4 columns of 3; the result has 40 − 2 rows, 4 − 2 columns.
  EXPECT_EQ(flops_of("{type: conv2d, width: 4, channels: 5, kernel: 3}").forward, 2.0 * 2 * 38 * 2 * 5 * 9 * 3);
  const double products = 2.0 * 2 * 40 * (4 * kChannels * kChannels + 2 * kChannels * 20);
  const double attention = 2 * 2.0 * 2 * 40 * 40 * kChannels;
  const Flops one = flops_of("{type: transformer, heads: 2, ff: 20}");
  EXPECT_EQ(one.forward, products + attention);
  EXPECT_EQ(one.backward, 2 * one.forward);
}

TEST(FlopCounter, NothingIsCountedOnceItIsGone) {
  double counted = 0;
  {
    const FlopCounter counter;
    at::mm(at::ones({3, 4}), at::ones({4, 5}));
    counted = counter.flops();
  }
  at::mm(at::ones({3, 4}), at::ones({4, 5}));
  EXPECT_EQ(counted, 120);
  const FlopCounter another;
  EXPECT_EQ(another.flops(), 0);
}

TEST(AllocationCounter, KeepsWhatIsNotFreed) {
  const AllocationCounter counter;
  const at::Tensor kept = at::empty({1000}, at::kFloat);
  at::empty({5000}, at::kFloat);
  EXPECT_EQ(counter.allocations(), 2);
  EXPECT_EQ(counter.bytes(), 24000);
  EXPECT_EQ(counter.kept_bytes(), 4000);
}

std::vector<int64_t> fields_of(const std::string& blocks, int64_t frames) {
  Config config = Config::parse("{blocks: [" + blocks + "]}");
  AcousticModel::Context context;
  context.input_channels = kChannels;
  context.num_classes = 6;
  context.options = at::TensorOptions().dtype(at::kFloat);
  AcousticModel model(config.root(), context);
  return receptive_fields(model, kChannels, frames);
}

TEST(ReceptiveField, IsThatOfStridesAndKernels) {
  // 5; then 2 · (7 − 1) more; then a dilation of 3 at a stride of 2; the head adds nothing.
  EXPECT_EQ(fields_of("{type: conv, channels: 16, kernel: 5, stride: 2},"
                      "{type: separable, channels: 16, kernel: 7, squeeze_excite: 0},"
                      "{type: separable, channels: 16, kernel: 3, dilation: 3, squeeze_excite: 0}",
                      201),
            (std::vector<int64_t>{5, 17, 29, 29}));
  EXPECT_EQ(fields_of("{type: subsample, channels: 16, factor: 4, kernel: 5}", 201), (std::vector<int64_t>{13, 13}));
}

TEST(ReceptiveField, OfWhatMixesAllFramesIsAll) {
  EXPECT_EQ(fields_of("{type: conv, channels: 16, kernel: 3},{type: separable, channels: 16, squeeze_excite: 4}", 201),
            (std::vector<int64_t>{3, 0, 0}));
  EXPECT_EQ(fields_of("{type: conv, channels: 16, norm: group}", 201), (std::vector<int64_t>{0, 0}));
  EXPECT_EQ(fields_of("{type: transformer, heads: 2, ff: 20}", 201), (std::vector<int64_t>{0, 0}));
}

// The one pass of an evaluation that records no gradient, against the one that does.
TEST(BatchNorm, EvaluatesInOnePassAsItDoesWithAGradient) {
  for (const char* line : {"{type: conv, channels: 9, kernel: 3, norm: batch, activation: silu}",
                           "{type: separable, channels: 12, kernel: 3, norm: batch, shortcut: projected}"}) {
    BuiltBlock built(line, kChannels, at::kDouble);
    for (Buffer& buffer : built.store.buffers()) buffer.tensor.add_(noise(buffer.tensor.sizes().vec(), 3), 0.5);
    const Sequence input = noise_batch({200, 30, 0}, 200, kChannels, 4, at::kDouble);
    const at::Tensor expected = built.block->forward(input, {}).x;
    const at::NoGradGuard no_gradients;
    EXPECT_LE(difference(built.block->forward(input, {}).x, expected), 1e-13) << line;
  }
}

}  // namespace
}  // namespace rehearse
