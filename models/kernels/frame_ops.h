// Per-frame operations fused into single passes over rows [frames, C] of one utterance.
#pragma once

#include <cstdint>

namespace rehearse {

enum class Activation { kNone, kRelu, kSilu };

// Inverted dropout from counters: element e is dropped when hash(key, e) < threshold, else multiplied by scale. The
// mask is never stored; backward computes it again. threshold 0 drops nothing.
struct Dropout {
  uint64_t key = 0;
  uint32_t threshold = 0;
  double scale = 1.0;

  static Dropout of(double rate, uint64_t key) {
    return {key, static_cast<uint32_t>(rate * 4294967296.0), 1.0 / (1.0 - rate)};
  }
};

// What follows the linear part of a frame. Row r of a call holds elements (first_frame + r) · C … of the utterance.
struct FrameEpilogue {
  Activation activation = Activation::kNone;
  Dropout dropout;
  int64_t first_frame = 0;
};

// y = dropout(activation(layer_norm(x + bias) · weight + shift)); bias may be null. mean and rstd [frames] are kept for
// backward.
template <class T>
struct LayerNormRows {
  const T* x;
  const T* bias;
  const T* weight;
  const T* shift;
  T* mean;
  T* rstd;
  int64_t frames;
  int64_t channels;
  double epsilon;
  FrameEpilogue epilogue;
};
void layer_norm_forward(const LayerNormRows<float>& rows, float* y);
void layer_norm_forward(const LayerNormRows<double>& rows, double* y);
// dx overwritten; dweight, dshift, dbias [C] added to (dbias is the gradient of both bias and a bias before it).
void layer_norm_backward(const LayerNormRows<float>& rows, const float* dy, float* dx, float* dweight, float* dshift,
                         float* dbias);
void layer_norm_backward(const LayerNormRows<double>& rows, const double* dy, double* dx, double* dweight,
                         double* dshift, double* dbias);

// y = dropout(activation(x · gate + residual)); gate [C] (one per utterance) and residual [frames, C] may be null.
template <class T>
struct GatedRows {
  const T* x;
  const T* gate;
  const T* residual;
  int64_t frames;
  int64_t channels;
  FrameEpilogue epilogue;
};
void gated_forward(const GatedRows<float>& rows, float* y);
void gated_forward(const GatedRows<double>& rows, double* y);
// dx and dresidual (may be null, or equal to dx when there is no gate) are overwritten; dgate [C] (may be null) added
// to.
void gated_backward(const GatedRows<float>& rows, const float* dy, float* dx, float* dresidual, float* dgate);
void gated_backward(const GatedRows<double>& rows, const double* dy, double* dx, double* dresidual, double* dgate);

// y = dropout(activation(x · scale + shift)); scale and shift [C]. For passes without a gradient.
template <class T>
struct AffineRows {
  const T* x;
  const T* scale;
  const T* shift;
  int64_t frames;
  int64_t channels;
  FrameEpilogue epilogue;
};
void affine_forward(const AffineRows<float>& rows, float* y);
void affine_forward(const AffineRows<double>& rows, double* y);

// The mask itself, for tests: true where element e survives.
bool survives(const Dropout& dropout, uint32_t element);

}  // namespace rehearse
