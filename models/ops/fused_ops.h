// Differentiable wrappers of models/kernels over whole batches: float or double on the CPU, float on a device
// (device_ops.h). CPU threads share the work in pieces of fixed size, so the result does not depend on their number.
// Frames at or beyond an utterance's length are neither read nor given a gradient, and are zero in every result.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/block.h"
#include "models/kernels/frame_ops.h"
#include "models/torch_prelude.h"

namespace rehearse {

// Activation, then dropout, then the mask: what ends a block or a layer.
struct Epilogue {
  Activation activation = Activation::kNone;
  std::vector<Dropout> dropout;  // [B], or empty for none

  // `site` tells several dropouts of one block apart. No dropout outside training.
  static Epilogue of(Activation activation, double dropout_rate, const ForwardContext& context, uint64_t block_index,
                     uint64_t site);
};

// x [B, T, C], weight [K, C] -> [B, T', C] with T' = ⌊(T − 1) / stride⌋ + 1.
at::Tensor depthwise_conv(const at::Tensor& x, const at::Tensor& weight, const std::vector<int64_t>& lengths,
                          int64_t stride, int64_t dilation);

// The same with x handed on: who takes it from here gets its gradient added inside this one's backward pass.
struct Depthwise {
  at::Tensor y;
  at::Tensor x;
};
Depthwise depthwise_conv_beside(const at::Tensor& x, const at::Tensor& weight, const std::vector<int64_t>& lengths,
                                int64_t stride, int64_t dilation);

// epilogue(layer_norm(x + bias) · weight + shift); x [B, T, C], others [C].
at::Tensor fused_layer_norm(const at::Tensor& x, const std::optional<at::Tensor>& bias, const at::Tensor& weight,
                            const at::Tensor& shift, const std::vector<int64_t>& lengths, const Epilogue& epilogue);

// The same with the mean over real frames of its result, made in the same passes; an empty utterance has mean 0.
struct FrameMeans {
  at::Tensor y;     // [B, T, C]
  at::Tensor mean;  // [B, C]
};
FrameMeans fused_layer_norm_and_mean(const at::Tensor& x, const std::optional<at::Tensor>& bias,
                                     const at::Tensor& weight, const at::Tensor& shift,
                                     const std::vector<int64_t>& lengths, const Epilogue& epilogue);
// epilogue(x · scale + shift) in one pass; scale and shift [C] differentiable: a batch norm in evaluation.
at::Tensor fused_scale(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                       const std::vector<int64_t>& lengths, const Epilogue& epilogue);

// epilogue(batch_norm(x) · weight + shift) over the real frames of all ranks (Ioffe and Szegedy 2015): Σx, Σx² and
// their count travel together in double, and so do two sums of the backward pass.
struct BatchMoments {
  at::Tensor mean;      // [C] in x's type
  at::Tensor variance;  // [C] of the population
  at::Tensor count;     // [] double: real frames over all ranks, at least 1
};
at::Tensor fused_batch_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& shift,
                            const std::vector<int64_t>& lengths, const Epilogue& epilogue, double epsilon,
                            const AllReduceSum& all_reduce_sum, BatchMoments& moments);

// x [B, T, C], zero beyond lengths -> [B, C].
at::Tensor frame_mean(const at::Tensor& x, const std::vector<int64_t>& lengths);

// epilogue(x · gate + residual); x and residual [B, T, C], gate [B, C].
at::Tensor fused_gate(const at::Tensor& x, const std::optional<at::Tensor>& gate,
                      const std::optional<at::Tensor>& residual, const std::vector<int64_t>& lengths,
                      const Epilogue& epilogue);

// [B, T, 1] of ones and zeros, in x's type and on its device.
at::Tensor frame_mask(const at::Tensor& x, const std::vector<int64_t>& lengths);

// A bug unless x has this shape; −1 matches anything.
void expect_shape(const at::Tensor& x, const std::vector<int64_t>& shape, const char* what);

// Output length of a convolution with centred padding.
inline int64_t strided_length(int64_t length, int64_t stride) {
  return length > 0 ? (length - 1) / stride + 1 : 0;
}
std::vector<int64_t> strided_lengths(const std::vector<int64_t>& lengths, int64_t stride);

}  // namespace rehearse
