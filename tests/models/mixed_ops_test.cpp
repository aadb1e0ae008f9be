#include "models/ops/mixed_ops.h"

#include "models/ops/products/gathered_convolution.h"
#include "models/ops/products/product.h"
#include "tests/models/tensor_support.h"

namespace rehearse {
namespace {

using namespace testing_support;

ForwardContext in(Precision precision) {
  ForwardContext context;
  context.precision = precision;
  return context;
}

at::Tensor rounded(const at::Tensor& x, at::ScalarType type) {
  return x.to(type).to(at::kDouble);
}

// Products of rounded operands, summed exactly, then rounded once: what any order of summation in float comes close to.
TEST(MixedOps, ProductsAreThoseOfRoundedOperands) {
  const at::Tensor x = noise({3, 7, 40}, 1, at::kFloat), weight = noise({9, 40}, 2, at::kFloat),
                   bias = noise({9}, 3, at::kFloat);
  for (const auto& [precision, type] :
       {std::pair(Precision::kBfloat16, at::kBFloat16), {Precision::kFloat16, at::kHalf}}) {
    const at::Tensor exact = at::linear(rounded(x, type), rounded(weight, type), rounded(bias, type));
    const at::Tensor found = mixed_linear(in(precision), x, weight, bias);
    EXPECT_EQ(found.scalar_type(), at::kFloat);
    const double unit = type == at::kHalf ? 0x1p-11 : 0x1p-8;
    EXPECT_LE(difference(found.to(at::kDouble), exact), 1.01 * unit * largest(exact)) << "one rounding of the result";
    EXPECT_GT(difference(found.to(at::kDouble), at::linear(x, weight, bias).to(at::kDouble)), 0);
    const bool is_on_grid = rounded(found, type).equal(found.to(at::kDouble));
    EXPECT_EQ(is_on_grid, !(type == at::kBFloat16 && multiplies_by_blocks(x, true))) << "blocks round operands alone";
  }
  EXPECT_TRUE(mixed_linear(in(Precision::kFull), x, weight, bias).equal(product(x, weight, bias)));
}

TEST(MixedOps, ConvolutionsAreThoseOfRoundedOperands) {
  const at::Tensor x = noise({2, 6, 1, 31}, 1, at::kFloat), weight = noise({8, 6, 1, 5}, 2, at::kFloat);
  for (const int64_t stride : {1, 2}) {
    const at::Tensor exact = at::conv2d(rounded(x, at::kBFloat16), rounded(weight, at::kBFloat16), {},
                                        at::IntArrayRef({1, stride}), at::IntArrayRef({0, 2}));
    const at::Tensor frames = mixed_conv(in(Precision::kBfloat16), x.squeeze(2).transpose(1, 2),
                                         weight.squeeze(2).permute({0, 2, 1}), stride);
    const at::Tensor found = frames.transpose(1, 2).unsqueeze(2);
    EXPECT_LE(difference(found.to(at::kDouble), exact), 1.01 * 0x1p-8 * largest(exact)) << stride;
  }
}

// What a device does, in double on the CPU beside libtorch's convolution.
TEST(MixedOps, AConvolutionOfGatheredRowsIsTheConvolution) {
  for (const int64_t kernel : {1, 5, 9})
    for (const int64_t stride : {1, 2, 3})
      for (const int64_t frames : {1, 2, 7, 16}) {
        const at::Tensor x = noise({2, frames, 6}, 1, at::kDouble).set_requires_grad(true);
        const at::Tensor weight = noise({8, kernel, 6}, 2, at::kDouble).set_requires_grad(true);
        const at::Tensor expected =
            at::conv1d(x.transpose(1, 2), weight.transpose(1, 2), {}, stride, kernel / 2).transpose(1, 2);
        ASSERT_TRUE(can_gather(x, weight, stride));
        const at::Tensor found = gathered_convolution(x, weight, stride);
        const std::string where = concat("kernel ", kernel, ", stride ", stride, ", frames ", frames);
        EXPECT_LE(difference(found, expected), 1e-12) << where;
        const at::Tensor dy = noise({2, found.size(1), 8}, 3, at::kDouble);
        (expected * dy).sum().backward();
        const at::Tensor dx = x.grad().clone(), dweight = weight.grad().clone();
        x.mutable_grad().reset();
        weight.mutable_grad().reset();
        (found * dy).sum().backward();
        EXPECT_LE(difference(x.grad(), dx), 1e-12) << where;
        EXPECT_LE(difference(weight.grad(), dweight), 1e-12) << where;
      }
  EXPECT_FALSE(can_gather(at::empty({1, 1 << 20, 256}), at::empty({256, 11, 256}), 1)) << "more than 512 MiB of rows";
}

}  // namespace
}  // namespace rehearse
