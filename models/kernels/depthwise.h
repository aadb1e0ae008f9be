// Depthwise convolution over time of one utterance: x [T, C], weight [K, C] -> y [T', C], zeros outside x.
#pragma once

#include <cstdint>

namespace rehearse {

struct DepthwiseShape {
  int64_t channels = 0;
  int64_t kernel = 1;  // odd
  int64_t stride = 1;
  int64_t dilation = 1;

  int64_t padding() const { return dilation * (kernel - 1) / 2; }
  int64_t output_frames(int64_t frames) const { return frames > 0 ? (frames - 1) / stride + 1 : 0; }
};

// Channels [begin, end): the unit of parallel work.
struct ChannelRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// `frames` is T, real frames only; rows are `shape.channels` apart. The results overwrite y and dx. `base` [T, C] is
// added to dx, or null: the gradient that x has from elsewhere.
void depthwise_forward(const float* x, int64_t frames, const float* weight, float* y, const DepthwiseShape& shape,
                       ChannelRange range);
void depthwise_forward(const double* x, int64_t frames, const double* weight, double* y, const DepthwiseShape& shape,
                       ChannelRange range);
void depthwise_grad_input(const float* dy, int64_t frames, const float* weight, float* dx, const DepthwiseShape& shape,
                          ChannelRange range, const float* base = nullptr);
void depthwise_grad_input(const double* dy, int64_t frames, const double* weight, double* dx,
                          const DepthwiseShape& shape, ChannelRange range, const double* base = nullptr);
// Adds to dweight [K, C].
void depthwise_grad_weight(const float* x, const float* dy, int64_t frames, float* dweight, const DepthwiseShape& shape,
                           ChannelRange range);
void depthwise_grad_weight(const double* x, const double* dy, int64_t frames, double* dweight,
                           const DepthwiseShape& shape, ChannelRange range);

}  // namespace rehearse
