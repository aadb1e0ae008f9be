// Activation and dropout of a vector of elements, for the kernels that end a layer; included as simd.h is.
#include "models/kernels/simd/simd.h"

namespace rehearse::REHEARSE_TARGET {
namespace {

using simd::Lanes;
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

// Calls pass(activation, drops) with both as constants, so that its loop is compiled for them.
template <class Pass>
REHEARSE_INLINE void with_epilogue(const FrameEpilogue& epilogue, const Pass& pass) {
  using enum Activation;
  const auto with = [&](auto activation) __attribute__((always_inline)) {
    if (epilogue.dropout.threshold != 0)
      pass(activation, std::true_type{});
    else
      pass(activation, std::false_type{});
  };
  if (epilogue.activation == kNone) with(std::integral_constant<Activation, kNone>{});
  if (epilogue.activation == kRelu) with(std::integral_constant<Activation, kRelu>{});
  if (epilogue.activation == kSilu) with(std::integral_constant<Activation, kSilu>{});
}

}  // namespace
}  // namespace rehearse::REHEARSE_TARGET
