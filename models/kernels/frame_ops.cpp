#include "models/kernels/frame_ops.h"

#include <cmath>

#include "models/kernels/simd.h"

namespace rehearse {
namespace {

using simd::Lanes;
using simd::load;
using simd::store;
using simd::Vec;

// Two rounds of multiply and shift (constants of MurmurHash3 and xxHash), each keyed by one half of the key, so that
// masks of different keys are independent and not shifts of one another.
template <class H>
REHEARSE_INLINE H element_hash(const H& element, uint32_t key_low, uint32_t key_high) {
  H x = (element ^ key_low) * 0x9E3779B9u;
  x ^= x >> 16;
  x *= 0x85EBCA6Bu;
  x ^= x >> 13;
  x = (x + key_high) * 0xC2B2AE35u;
  x ^= x >> 16;
  x *= 0x27D4EB2Fu;
  return x ^ (x >> 15);
}

template <class T>
struct DropoutLanes {
  typename Lanes<T>::Hash lane_index;
  uint32_t key_low;
  uint32_t key_high;
  uint32_t threshold;
  T scale;

  REHEARSE_INLINE explicit DropoutLanes(const Dropout& dropout)
      : key_low(static_cast<uint32_t>(dropout.key)),
        key_high(static_cast<uint32_t>(dropout.key >> 32)),
        threshold(dropout.threshold),
        scale(static_cast<T>(dropout.scale)) {
    for (int64_t i = 0; i < Lanes<T>::kCount; ++i) lane_index[i] = static_cast<uint32_t>(i);
  }
  // 0 or scale for elements first, first + 1, …
  REHEARSE_INLINE Vec<T> factors(int64_t first) const {
    const auto hash = element_hash(lane_index + static_cast<uint32_t>(first), key_low, key_high);
    const typename Lanes<T>::HashMask is_kept = hash >= threshold;
    const auto mask = __builtin_convertvector(is_kept, typename Lanes<T>::Mask);
    return mask ? simd::splat(scale) : Vec<T>{};
  }
};

template <class T>
REHEARSE_INLINE Vec<T> sigmoid(const Vec<T>& z) {
  return T(1) / (T(1) + simd::exp(Vec<T>(-z)));
}

template <class T, Activation kActivation>
REHEARSE_INLINE Vec<T> activate(const Vec<T>& z) {
  if constexpr (kActivation == Activation::kRelu) return z < T(0) ? Vec<T>{} : z;  // NaN stays
  if constexpr (kActivation == Activation::kSilu) return z * sigmoid<T>(z);
  return z;
}

template <class T, Activation kActivation>
REHEARSE_INLINE Vec<T> slope(const Vec<T>& z) {
  if constexpr (kActivation == Activation::kRelu) return z > T(0) ? simd::splat(T(1)) : Vec<T>{};
  if constexpr (kActivation == Activation::kSilu) {
    const Vec<T> s = sigmoid<T>(z);
    return s * (T(1) + z * (T(1) - s));
  }
  return simd::splat(T(1));
}

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
      }
    }
  }

  static REHEARSE_INLINE void affine(const AffineRows<T>& a, T* y) {
    const DropoutLanes<T> dropout(a.epilogue.dropout);
    for (int64_t t = 0; t < a.frames; ++t) {
      const int64_t row = t * a.channels;
      const int64_t first = a.epilogue.first_frame * a.channels + row;
      for (int64_t c = 0; c < a.channels; c += Lanes<T>::kCount) {
        const int64_t count = a.channels - c;
        Vec<T> z = load(a.x + row + c, count) * load(a.scale + c, count) + load(a.shift + c, count);
        z = activate<T, kActivation>(z);
        if constexpr (kDrops) z *= dropout.factors(first + c);
        store(y + row + c, z, count);
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

template <class T>
REHEARSE_INLINE void run_affine(const AffineRows<T>& rows, T* y) {
  const bool drops = rows.epilogue.dropout.threshold != 0;
  switch (rows.epilogue.activation) {
    case Activation::kNone:
      return drops ? Forward<T, Activation::kNone, true>::affine(rows, y)
                   : Forward<T, Activation::kNone, false>::affine(rows, y);
    case Activation::kRelu:
      return drops ? Forward<T, Activation::kRelu, true>::affine(rows, y)
                   : Forward<T, Activation::kRelu, false>::affine(rows, y);
    case Activation::kSilu:
      return drops ? Forward<T, Activation::kSilu, true>::affine(rows, y)
                   : Forward<T, Activation::kSilu, false>::affine(rows, y);
  }
}

}  // namespace

#define REHEARSE_FRAME_OPS(T)                                                                                      \
  REHEARSE_SIMD_CLONES void layer_norm_forward(const LayerNormRows<T>& rows, T* y) {                               \
    run_layer_norm<Forward, T>(rows, y);                                                                           \
  }                                                                                                                \
  REHEARSE_SIMD_CLONES void layer_norm_backward(const LayerNormRows<T>& rows, const T* dy, T* dx, T* dweight,      \
                                                T* dshift, T* dbias) {                                             \
    run_layer_norm<Backward, T>(rows, LayerNormGradients<T>{dy, dx, dweight, dshift, dbias});                      \
  }                                                                                                                \
  REHEARSE_SIMD_CLONES void affine_forward(const AffineRows<T>& rows, T* y) {                                      \
    run_affine(rows, y);                                                                                           \
  }                                                                                                                \
  REHEARSE_SIMD_CLONES void gated_forward(const GatedRows<T>& rows, T* y) {                                        \
    run_gated<Forward, T>(rows, y);                                                                                \
  }                                                                                                                \
  REHEARSE_SIMD_CLONES void gated_backward(const GatedRows<T>& rows, const T* dy, T* dx, T* dresidual, T* dgate) { \
    run_gated<Backward, T>(rows, GatedGradients<T>{dy, dx, dresidual, dgate});                                     \
  }
REHEARSE_FRAME_OPS(float)
REHEARSE_FRAME_OPS(double)
#undef REHEARSE_FRAME_OPS

bool survives(const Dropout& dropout, uint32_t element) {
  return element_hash(element, static_cast<uint32_t>(dropout.key), static_cast<uint32_t>(dropout.key >> 32)) >=
         dropout.threshold;
}

}  // namespace rehearse
