#include "models/kernels/frame_ops.h"

#include <cmath>
#include <type_traits>

#ifndef REHEARSE_TARGET
#define REHEARSE_KERNEL "models/kernels/frame_ops.cpp"
#include "models/kernels/simd/for_each_target.h"

namespace rehearse {

#define REHEARSE_FRAME_OPS(T)                                                                                   \
  void layer_norm_forward(const LayerNormRows<T>& rows, T* y) {                                                 \
    REHEARSE_DISPATCH(layer_norm_forward(rows, y))                                                              \
  }                                                                                                             \
  void layer_norm_backward(const LayerNormRows<T>& rows, const T* dy, T* dx, T* dweight, T* dshift, T* dbias) { \
    REHEARSE_DISPATCH(layer_norm_backward(rows, dy, dx, dweight, dshift, dbias))                                \
  }                                                                                                             \
  void gated_forward(const GatedRows<T>& rows, T* y) {                                                          \
    REHEARSE_DISPATCH(gated_forward(rows, y))                                                                   \
  }                                                                                                             \
  void gated_backward(const GatedRows<T>& rows, const T* dy, T* dx, T* dresidual, T* dgate) {                   \
    REHEARSE_DISPATCH(gated_backward(rows, dy, dx, dresidual, dgate))                                           \
  }
REHEARSE_FRAME_OPS(float)
REHEARSE_FRAME_OPS(double)
#undef REHEARSE_FRAME_OPS

bool survives(const Dropout& dropout, uint32_t element) {
  return base::survives(dropout, element);
}
}  // namespace rehearse

#else
#include "models/kernels/simd/epilogue_lanes.h"

namespace rehearse::REHEARSE_TARGET {
namespace {

using simd::load;
using simd::store;

template <class T, Activation kActivation, bool kDrops>
struct Forward {
  // Two passes for the moments: no cancellation, and the row stays in the first-level cache.
  static REHEARSE_INLINE void layer_norm(const LayerNormRows<T>& a, T* y) {
    const DropoutLanes<T> dropout(a.epilogue.dropout);
    const int64_t channels = a.channels;
    for (int64_t t = 0; t < a.frames; ++t) {
      const T* x = a.x + t * channels;
      T* out = y + t * channels;
      Vec<T> sum = {};
      for (int64_t c = 0; c < channels; c += Lanes<T>::kCount) {
        Vec<T> value = load(x + c, channels - c);
        if (a.bias) value += load(a.bias + c, channels - c);
        store(out + c, value, channels - c);
        sum += value;
      }
      const T mean = simd::sum_lanes<T>(sum) / static_cast<T>(channels);
      Vec<T> squares = {};
      int64_t c = 0;
      for (; c + Lanes<T>::kCount <= channels; c += Lanes<T>::kCount) {
        const Vec<T> centred = load(out + c) - mean;
        squares += centred * centred;
      }
      T square_sum = simd::sum_lanes<T>(squares);
      for (; c < channels; ++c) square_sum += (out[c] - mean) * (out[c] - mean);
      const T rstd = T(1) / std::sqrt(square_sum / static_cast<T>(channels) + static_cast<T>(a.epsilon));
      a.mean[t] = mean;
      a.rstd[t] = rstd;
      const int64_t first = (a.epilogue.first_frame + t) * channels;
      for (c = 0; c < channels; c += Lanes<T>::kCount) {
        const int64_t count = channels - c;
        Vec<T> z = (load(out + c, count) - mean) * rstd * load(a.weight + c, count) + load(a.shift + c, count);
        z = activate<T, kActivation>(z);
        if constexpr (kDrops) z *= dropout.factors(first + c);
        store(out + c, z, count);
        if (a.sums) store(a.sums + c, Vec<T>(load(a.sums + c, count) + z), count);
      }
    }
  }

  static REHEARSE_INLINE void gated(const GatedRows<T>& a, T* y) {
    const DropoutLanes<T> dropout(a.epilogue.dropout);
    for (int64_t t = 0; t < a.frames; ++t) {
      const int64_t row = t * a.channels;
      const int64_t first = a.epilogue.first_frame * a.channels + row;
      for (int64_t c = 0; c < a.channels; c += Lanes<T>::kCount) {
        const int64_t count = a.channels - c;
        Vec<T> z = load(a.x + row + c, count);
        if (a.gate) z *= load(a.gate + c, count);
        if (a.residual) z += load(a.residual + row + c, count);
        z = activate<T, kActivation>(z);
        if constexpr (kDrops) z *= dropout.factors(first + c);
        store(y + row + c, z, count);
      }
    }
  }
};

template <class T>
struct LayerNormGradients {
  const T* dy;
  T* dx;
  T* dweight;
  T* dshift;
  T* dbias;
};

template <class T>
struct GatedGradients {
  const T* dy;
  T* dx;
  T* dresidual;
  T* dgate;
};

template <class T, Activation kActivation, bool kDrops>
struct Backward {
  // With g = dz · weight: dx = rstd (g − mean(g) − x̂ mean(g x̂)) (Ba, Kiros, Hinton 2016).
  static REHEARSE_INLINE void layer_norm(const LayerNormRows<T>& a, const LayerNormGradients<T>& out) {
    const DropoutLanes<T> dropout(a.epilogue.dropout);
    const int64_t channels = a.channels;
    for (int64_t t = 0; t < a.frames; ++t) {
      const T* x = a.x + t * channels;
      const T* dy = out.dy + t * channels;
      T* dx = out.dx + t * channels;
      const T mean = a.mean[t];
      const T rstd = a.rstd[t];
      const int64_t first = (a.epilogue.first_frame + t) * channels;
      Vec<T> sum = {};
      Vec<T> product_sum = {};
      for (int64_t c = 0; c < channels; c += Lanes<T>::kCount) {
        const int64_t count = channels - c;
        const Vec<T> normed = normalized(a, x, c, mean, rstd);
        const Vec<T> weight = load(a.weight + c, count);
        Vec<T> dz = load(dy + c, count);
        if (a.slope_of_sums) dz += load(a.slope_of_sums + c, count);
        if constexpr (kDrops) dz *= dropout.factors(first + c);
        if constexpr (kActivation != Activation::kNone)
          dz *= slope<T, kActivation>(normed * weight + load(a.shift + c, count));
        store(out.dweight + c, Vec<T>(load(out.dweight + c, count) + dz * normed), count);
        store(out.dshift + c, Vec<T>(load(out.dshift + c, count) + dz), count);
        const Vec<T> g = dz * weight;  // zero in the lanes beyond the last channel
        sum += g;
        product_sum += g * normed;
        store(dx + c, g, count);
      }
      const T mean_g = simd::sum_lanes<T>(sum) / static_cast<T>(channels);
      const T mean_product = simd::sum_lanes<T>(product_sum) / static_cast<T>(channels);
      for (int64_t c = 0; c < channels; c += Lanes<T>::kCount) {
        const int64_t count = channels - c;
        const Vec<T> normed = normalized(a, x, c, mean, rstd);
        const Vec<T> d = (load(dx + c, count) - mean_g - normed * mean_product) * rstd;
        store(out.dbias + c, Vec<T>(load(out.dbias + c, count) + d), count);
        store(dx + c, d, count);
      }
    }
  }

  static REHEARSE_INLINE Vec<T> normalized(const LayerNormRows<T>& a, const T* x, int64_t c, T mean, T rstd) {
    Vec<T> value = load(x + c, a.channels - c);
    if (a.bias) value += load(a.bias + c, a.channels - c);
    return (value - mean) * rstd;
  }

  static REHEARSE_INLINE void gated(const GatedRows<T>& a, const GatedGradients<T>& out) {
    const DropoutLanes<T> dropout(a.epilogue.dropout);
    for (int64_t t = 0; t < a.frames; ++t) {
      const int64_t row = t * a.channels;
      const int64_t first = a.epilogue.first_frame * a.channels + row;
      for (int64_t c = 0; c < a.channels; c += Lanes<T>::kCount) {
        const int64_t count = a.channels - c;
        Vec<T> dz = load(out.dy + row + c, count);
        if constexpr (kDrops) dz *= dropout.factors(first + c);
        Vec<T> x = {};
        if (a.gate || kActivation != Activation::kNone) x = load(a.x + row + c, count);
        if constexpr (kActivation != Activation::kNone) {
          Vec<T> z = x;
          if (a.gate) z *= load(a.gate + c, count);
          if (a.residual) z += load(a.residual + row + c, count);
          dz *= slope<T, kActivation>(z);
        }
        if (out.dresidual) store(out.dresidual + row + c, dz, count);
        if (out.dgate) store(out.dgate + c, Vec<T>(load(out.dgate + c, count) + dz * x), count);
        if (a.gate) dz *= load(a.gate + c, count);
        store(out.dx + row + c, dz, count);
      }
    }
  }
};

// Chooses the loop compiled for this activation, with or without dropout.
template <template <class, Activation, bool> class Pass, class T, class Rows, class Out>
REHEARSE_INLINE void run_layer_norm(const Rows& rows, const Out& out) {
  const bool drops = rows.epilogue.dropout.threshold != 0;
  switch (rows.epilogue.activation) {
    case Activation::kNone:
      return drops ? Pass<T, Activation::kNone, true>::layer_norm(rows, out)
                   : Pass<T, Activation::kNone, false>::layer_norm(rows, out);
    case Activation::kRelu:
      return drops ? Pass<T, Activation::kRelu, true>::layer_norm(rows, out)
                   : Pass<T, Activation::kRelu, false>::layer_norm(rows, out);
    case Activation::kSilu:
      return drops ? Pass<T, Activation::kSilu, true>::layer_norm(rows, out)
                   : Pass<T, Activation::kSilu, false>::layer_norm(rows, out);
  }
}

template <template <class, Activation, bool> class Pass, class T, class Rows, class Out>
REHEARSE_INLINE void run_gated(const Rows& rows, const Out& out) {
  const bool drops = rows.epilogue.dropout.threshold != 0;
  switch (rows.epilogue.activation) {
    case Activation::kNone:
      return drops ? Pass<T, Activation::kNone, true>::gated(rows, out)
                   : Pass<T, Activation::kNone, false>::gated(rows, out);
    case Activation::kRelu:
      return drops ? Pass<T, Activation::kRelu, true>::gated(rows, out)
                   : Pass<T, Activation::kRelu, false>::gated(rows, out);
    case Activation::kSilu:
      return drops ? Pass<T, Activation::kSilu, true>::gated(rows, out)
                   : Pass<T, Activation::kSilu, false>::gated(rows, out);
  }
}

}  // namespace

#define REHEARSE_FRAME_OPS(T)                                                                                   \
  void layer_norm_forward(const LayerNormRows<T>& rows, T* y) {                                                 \
    run_layer_norm<Forward, T>(rows, y);                                                                        \
  }                                                                                                             \
  void layer_norm_backward(const LayerNormRows<T>& rows, const T* dy, T* dx, T* dweight, T* dshift, T* dbias) { \
    run_layer_norm<Backward, T>(rows, LayerNormGradients<T>{dy, dx, dweight, dshift, dbias});                   \
  }                                                                                                             \
  void gated_forward(const GatedRows<T>& rows, T* y) {                                                          \
    run_gated<Forward, T>(rows, y);                                                                             \
  }                                                                                                             \
  void gated_backward(const GatedRows<T>& rows, const T* dy, T* dx, T* dresidual, T* dgate) {                   \
    run_gated<Backward, T>(rows, GatedGradients<T>{dy, dx, dresidual, dgate});                                  \
  }
REHEARSE_FRAME_OPS(float)
REHEARSE_FRAME_OPS(double)
#undef REHEARSE_FRAME_OPS

bool survives(const Dropout& dropout, uint32_t element) {
  return element_hash(element, static_cast<uint32_t>(dropout.key), static_cast<uint32_t>(dropout.key >> 32)) >=
         dropout.threshold;
}

}  // namespace rehearse::REHEARSE_TARGET
#endif
