// Against libtorch's own grouped convolution, also where frames are skipped.
#include "models/ops/fused_ops.h"
#include "tests/models/tensor_support.h"

namespace rehearse {
namespace {

using namespace testing_support;

TEST(DepthwiseConv, EqualsLibtorchForEveryStrideDilationAndLength) {
  for (const int64_t stride : {1, 2, 3, 4})
    for (const int64_t dilation : {1, 2})
      for (const int64_t kernel : {1, 5, 13}) {
        SCOPED_TRACE(testing::Message() << "stride " << stride << ", dilation " << dilation << ", kernel " << kernel);
        constexpr int64_t kChannels = 19, kFrames = 41;
        const std::vector<int64_t> lengths = {41, 30, 1, 0, 17};
        const Sequence batch = noise_batch(lengths, kFrames, kChannels, 3, at::kDouble);
        at::Tensor x = batch.x.clone().set_requires_grad(true), their_x = batch.x.clone().set_requires_grad(true);
        at::Tensor weight = noise({kernel, kChannels}, 5).set_requires_grad(true);
        at::Tensor their_weight = weight.detach().clone().set_requires_grad(true);
        const at::Tensor y = depthwise_conv(x, weight, lengths, stride, dilation);
        const at::Tensor full =
            at::conv1d(their_x.transpose(1, 2), their_weight.t().unsqueeze(1), {}, at::IntArrayRef({stride}),
                       at::IntArrayRef({dilation * (kernel - 1) / 2}), at::IntArrayRef({dilation}), kChannels)
                .transpose(1, 2);
        at::Tensor mask = at::zeros_like(full);
        for (size_t b = 0; b < lengths.size(); ++b)
          mask[static_cast<int64_t>(b)].slice(0, 0, (lengths[b] + stride - 1) / stride).fill_(1);
        ASSERT_EQ(y.sizes(), full.sizes());
        const at::Tensor slope = noise(full.sizes().vec(), 9);
        (y * slope).sum().backward();
        (full * mask * slope).sum().backward();
        EXPECT_LE(difference(y, full * mask), 1e-12);
        // What lies beyond an utterance has no gradient of ours, and libtorch's is not asked for.
        for (size_t b = 0; b < lengths.size(); ++b) {
          const auto row = static_cast<int64_t>(b);
          EXPECT_LE(difference(x.grad()[row].slice(0, 0, lengths[b]), their_x.grad()[row].slice(0, 0, lengths[b])),
                    1e-12);
        }
        EXPECT_LE(difference(weight.grad(), their_weight.grad()), 1e-11);
      }
}

TEST(DepthwiseConv, StridedIsBitEqualOnAnyNumberOfThreads) {
  const auto run = [](int threads) {
    at::set_num_threads(threads);
    const Sequence batch = noise_batch({300, 170, 260}, 300, 70, 3, at::kFloat);
    at::Tensor x = batch.x.clone().set_requires_grad(true),
               weight = noise({9, 70}, 5, at::kFloat).set_requires_grad(true);
    const at::Tensor y = depthwise_conv(x, weight, batch.lengths, 2, 1);
    y.square().sum().backward();
    at::set_num_threads(1);
    return std::vector<at::Tensor>{y.detach(), x.grad(), weight.grad()};
  };
  const auto first = run(1);
  for (const int threads : {2, 5}) {
    const auto other = run(threads);
    for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(first[i].equal(other[i])) << threads << " " << i;
  }
}

}  // namespace
}  // namespace rehearse
