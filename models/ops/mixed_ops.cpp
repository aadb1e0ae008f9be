#include "models/ops/mixed_ops.h"

#include <ATen/ATen.h>

#include "models/ops/products/gathered_convolution.h"
#include "models/ops/products/product.h"

namespace rehearse {
namespace {

at::ScalarType type_of(Precision precision) {
  return precision == Precision::kBfloat16 ? at::kBFloat16 : at::kHalf;
}

// Operands alone are rounded then, inside the product: results keep the bits of their sums.
bool is_rounded_by_blocks(const ForwardContext& context, const at::Tensor& x) {
  return context.precision == Precision::kBfloat16 && multiplies_by_blocks(x, /*is_rounded=*/true);
}

ProductOperands* operands_of(const ForwardContext& context) {
  return context.rounded_weights ? &context.rounded_weights->operands() : nullptr;
}

}  // namespace

at::Tensor rounded(const ForwardContext& context, const at::Tensor& x) {
  if (context.precision == Precision::kFull || !x.defined()) return x;
  return x.to(type_of(context.precision));
}

at::Tensor rounded_weight(const ForwardContext& context, const at::Tensor& weight) {
  if (context.precision == Precision::kFull || !weight.defined() || !context.rounded_weights)
    return rounded(context, weight);
  return (*context.rounded_weights)(weight, type_of(context.precision));
}

at::Tensor RoundedWeights::operator()(const at::Tensor& weight, at::ScalarType type) {
  at::Tensor& rounded = rounded_[weight.unsafeGetTensorImpl()];
  if (!rounded.defined()) rounded = weight.to(type);
  return rounded;
}

at::Tensor mixed_linear(const ForwardContext& context, const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& bias) {
  const bool is_rounded = is_rounded_by_blocks(context, x);
  if (is_rounded || context.precision == Precision::kFull)
    return product(x, weight, bias, is_rounded, operands_of(context));
  return at::linear(rounded(context, x), rounded_weight(context, weight), rounded_weight(context, bias))
      .to(x.scalar_type());
}

// Otherwise as a two-dimensional convolution of height 1: both views are already channels-last, so nothing is copied.
at::Tensor mixed_conv(const ForwardContext& context, const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  if (is_rounded_by_blocks(context, x))
    return convolution(x, weight, stride, /*is_rounded=*/true, operands_of(context));
  const at::Tensor frames = rounded(context, x), kernel = rounded_weight(context, weight);
  if (multiplies_by_blocks(frames, false)) return convolution(frames, kernel, stride, false, operands_of(context));
  if (!x.is_cpu() && can_gather(frames, kernel, stride))
    return gathered_convolution(frames, kernel, stride).to(x.scalar_type());
  const at::Tensor image = frames.transpose(1, 2).unsqueeze(2);    // [B, I, 1, T]
  const at::Tensor taps = kernel.permute({0, 2, 1}).unsqueeze(2);  // [O, I, 1, K]
  const at::Tensor y =
      at::conv2d(image, taps, {}, at::IntArrayRef({1, stride}), at::IntArrayRef({0, (weight.size(1) - 1) / 2}));
  return y.squeeze(2).transpose(1, 2).to(x.scalar_type());
}

at::Tensor mixed_attention(const ForwardContext& context, const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value, const at::Tensor& bias) {
  return at::scaled_dot_product_attention(rounded(context, query), rounded(context, key), rounded(context, value),
                                          rounded(context, bias))
      .to(query.scalar_type());
}

}  // namespace rehearse
