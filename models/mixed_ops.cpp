#include "models/mixed_ops.h"

#include <ATen/ATen.h>

namespace rehearse {
namespace {

at::Tensor rounded(Precision precision, const at::Tensor& x) {
  if (precision == Precision::kFull || !x.defined()) return x;
  return x.to(precision == Precision::kBfloat16 ? at::kBFloat16 : at::kHalf);
}

}  // namespace

at::Tensor mixed_linear(Precision precision, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(rounded(precision, x), rounded(precision, weight), rounded(precision, bias)).to(x.scalar_type());
}

at::Tensor mixed_conv(Precision precision, const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  return at::conv2d(rounded(precision, x), rounded(precision, weight), {}, at::IntArrayRef({1, stride}),
                    at::IntArrayRef({0, (weight.size(3) - 1) / 2}))
      .to(x.scalar_type());
}

at::Tensor mixed_attention(Precision precision, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const at::Tensor& bias) {
  return at::scaled_dot_product_attention(rounded(precision, query), rounded(precision, key), rounded(precision, value),
                                          rounded(precision, bias))
      .to(query.scalar_type());
}

}  // namespace rehearse
