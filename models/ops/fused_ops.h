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

// epilogue(layer_norm(x + bias) · weight + shift); x [B, T, C], others [C].
at::Tensor fused_layer_norm(const at::Tensor& x, const std::optional<at::Tensor>& bias, const at::Tensor& weight,
                            const at::Tensor& shift, const std::vector<int64_t>& lengths, const Epilogue& epilogue);

// epilogue(x · gate + residual); x and residual [B, T, C], gate [B, C].
at::Tensor fused_gate(const at::Tensor& x, const std::optional<at::Tensor>& gate,
                      const std::optional<at::Tensor>& residual, const std::vector<int64_t>& lengths,
                      const Epilogue& epilogue);

// epilogue(x · scale + shift); x [B, T, C], others [C]. Without a gradient: a bug where one would be recorded.
at::Tensor fused_affine(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                        const std::vector<int64_t>& lengths, const Epilogue& epilogue);

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
