// The model's large products in a chosen precision: what PyTorch's autocast does, at the few places that need it.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/precision.h"

namespace rehearse {

// Results and gradients are handed over in the operands' own type. x [..., I], weight [O, I], bias [O] or undefined ->
// [..., O].
at::Tensor mixed_linear(Precision precision, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
// x [B, I, 1, T], weight [O, I, 1, K] -> [B, O, 1, T'], padded by K / 2 on both sides.
at::Tensor mixed_conv(Precision precision, const at::Tensor& x, const at::Tensor& weight, int64_t stride);
// query, key, value [B, H, T, d], bias [B, 1, 1, T] added to the scores -> [B, H, T, d].
at::Tensor mixed_attention(Precision precision, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const at::Tensor& bias);

}  // namespace rehearse
