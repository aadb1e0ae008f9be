// Batch norm over rows [frames, C] of one utterance: what is per channel is given, sums over frames are handed back.
#pragma once

#include <cstdint>

#include "models/kernels/frame_ops.h"

namespace rehearse {

// Adds Σx and Σx² over the frames to sums [2, C].
void add_moments(const float* x, int64_t frames, int64_t channels, double* sums);
void add_moments(const double* x, int64_t frames, int64_t channels, double* sums);

// y = dropout(activation(x · scale + shift)); all [C]. Backward also takes x̂ = x · rstd + centre.
template <class T>
struct ScaledRows {
  const T* x;
  const T* scale;
  const T* shift;
  const T* rstd;
  const T* centre;
  int64_t frames;
  int64_t channels;
  FrameEpilogue epilogue;
};
void scaled_forward(const ScaledRows<float>& rows, float* y);
void scaled_forward(const ScaledRows<double>& rows, double* y);
// With dz the gradient of x · scale + shift: adds Σdz and Σdz · x̂ over the frames to sums [2, C].
void scaled_sums(const ScaledRows<float>& rows, const float* dy, float* sums);
void scaled_sums(const ScaledRows<double>& rows, const double* dy, double* sums);
// dx = (dz − a − x̂ · b) · scale, overwritten; a and b [C] as mean_slopes [2, C], or null for zeros.
void scaled_backward(const ScaledRows<float>& rows, const float* dy, const float* mean_slopes, float* dx);
void scaled_backward(const ScaledRows<double>& rows, const double* dy, const double* mean_slopes, double* dx);

}  // namespace rehearse
