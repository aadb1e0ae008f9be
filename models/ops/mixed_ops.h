// The model's large products in a chosen precision: what PyTorch's autocast does, at the few places that need it.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>

#include "models/block.h"
#include "models/ops/products/product.h"

namespace rehearse {

// Weights rounded, or laid out for products, once for all micro-batches of an update: whoever changes the weights
// clears it. Training only; the roundings carry their gradients back to the weights.
class RoundedWeights {
 public:
  at::Tensor operator()(const at::Tensor& weight, at::ScalarType type);
  ProductOperands& operands() { return operands_; }
  void clear() {
    rounded_.clear();
    operands_.clear();
  }

 private:
  std::map<const void*, at::Tensor> rounded_;  // by the weight's identity
  ProductOperands operands_;
};

// An operand in context.precision, for a product that has no function here: its result and the gradients are in that
// precision too, and the caller takes the result back with to(). Undefined stays undefined.
at::Tensor rounded(const ForwardContext& context, const at::Tensor& x);
at::Tensor rounded_weight(const ForwardContext& context, const at::Tensor& weight);  // a parameter, whole

// In context.precision; results and gradients are handed over in the operands' own type. By blocks (product.h) bfloat16
// rounds the operands alone and float32 results keep the bits of their sums; otherwise results are rounded, too. x
// [..., I], weight [O, I], bias [O] or undefined -> [..., O].
at::Tensor mixed_linear(const ForwardContext& context, const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& bias);
// x [B, T, I], weight [O, K, I] -> [B, T', O], padded by K / 2 on both sides.
at::Tensor mixed_conv(const ForwardContext& context, const at::Tensor& x, const at::Tensor& weight, int64_t stride);
// query, key, value [B, H, T, d], bias [B, 1, 1, T] added to the scores -> [B, H, T, d].
at::Tensor mixed_attention(const ForwardContext& context, const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value, const at::Tensor& bias);

}  // namespace rehearse
