#include "models/kernels/depthwise.h"

#include <algorithm>

#ifndef REHEARSE_TARGET
#define REHEARSE_KERNEL "models/kernels/depthwise.cpp"
#include "models/kernels/simd/for_each_target.h"

namespace rehearse {

#define REHEARSE_DEPTHWISE(T)                                                                                  \
  void depthwise_forward(const T* x, int64_t frames, const T* weight, T* y, const DepthwiseShape& shape,       \
                         ChannelRange range) {                                                                 \
    REHEARSE_DISPATCH(depthwise_forward(x, frames, weight, y, shape, range))                                   \
  }                                                                                                            \
  void depthwise_grad_input(const T* dy, int64_t frames, const T* weight, T* dx, const DepthwiseShape& shape,  \
                            ChannelRange range, const T* base) {                                               \
    REHEARSE_DISPATCH(depthwise_grad_input(dy, frames, weight, dx, shape, range, base))                        \
  }                                                                                                            \
  void depthwise_grad_weight(const T* x, const T* dy, int64_t frames, T* dweight, const DepthwiseShape& shape, \
                             ChannelRange range) {                                                             \
    REHEARSE_DISPATCH(depthwise_grad_weight(x, dy, frames, dweight, shape, range))                             \
  }
REHEARSE_DEPTHWISE(float)
REHEARSE_DEPTHWISE(double)
#undef REHEARSE_DEPTHWISE

}  // namespace rehearse

#else
#include "models/kernels/simd/simd.h"

namespace rehearse::REHEARSE_TARGET {
namespace {

using simd::Lanes;
using simd::Vec;

// Output frames computed together: enough independent sums to hide the latency of a multiply-add.
constexpr int kFrames = 8;
// Taps whose sums stay in registers together.
constexpr int64_t kTaps = 8;
constexpr int64_t kMostTaps = 255;  // of a kernel

// y[t] = base[t] + Σ_k weight[k] · x[t · stride + k · dilation − p], with weight rows `weight_step` apart (negative:
// flipped).
template <class T>
struct Correlation {
  const T* x;
  int64_t frames;
  const T* weight;
  int64_t weight_step;
  const T* base;  // or null
  T* y;
  int64_t output_frames;
  DepthwiseShape shape;
};

// One output frame, taps clipped to the utterance.
template <class T>
REHEARSE_INLINE void correlate_edge(const Correlation<T>& a, int64_t t, ChannelRange range) {
  const int64_t channels = a.shape.channels;
  const int64_t origin = t * a.shape.stride - a.shape.padding();
  const int64_t dilation = a.shape.dilation;
  const int64_t first = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
  const int64_t last = std::min(a.shape.kernel - 1, (a.frames - 1 - origin) / dilation);
  for (int64_t c = range.begin; c < range.end; c += Lanes<T>::kCount) {
    const int64_t count = range.end - c;
    Vec<T> sum = {};
    if (a.base) sum = simd::load(a.base + t * channels + c, count);
    for (int64_t k = first; k <= last; ++k)
      sum += simd::load(a.weight + k * a.weight_step + c, count) *
             simd::load(a.x + (origin + k * dilation) * channels + c, count);
    simd::store(a.y + t * channels + c, sum, count);
  }
}

// kFrames output frames whose taps all lie inside.
template <class T>
REHEARSE_INLINE void correlate_interior(const Correlation<T>& a, int64_t t, ChannelRange range) {
  const int64_t channels = a.shape.channels;
  const int64_t frame_step = a.shape.stride * channels;
  const int64_t tap_step = a.shape.dilation * channels;
  const T* origin = a.x + (t * a.shape.stride - a.shape.padding()) * channels;
  int64_t c = range.begin;
  for (; c + Lanes<T>::kCount <= range.end; c += Lanes<T>::kCount) {
    Vec<T> sums[kFrames] = {};
    if (a.base) {
#pragma GCC unroll 8
      for (int i = 0; i < kFrames; ++i) sums[i] = simd::load(a.base + (t + i) * channels + c);
    }
    const T* x = origin + c;
    const T* weight = a.weight + c;
    for (int64_t k = 0; k < a.shape.kernel; ++k) {
      const Vec<T> w = simd::load(weight);
#pragma GCC unroll 8
      for (int i = 0; i < kFrames; ++i) sums[i] += w * simd::load(x + i * frame_step);
      x += tap_step;
      weight += a.weight_step;
    }
#pragma GCC unroll 8
    for (int i = 0; i < kFrames; ++i) simd::store(a.y + (t + i) * channels + c, sums[i]);
  }
  if (c < range.end)
    for (int i = 0; i < kFrames; ++i) correlate_edge(a, t + i, {c, range.end});
}

template <class T>
REHEARSE_INLINE void correlate(const Correlation<T>& a, ChannelRange range) {
  const int64_t reach = (a.shape.kernel - 1) * a.shape.dilation - a.shape.padding();
  int64_t t = 0;
  while (t < a.output_frames) {
    const bool is_inside = t * a.shape.stride >= a.shape.padding() && t + kFrames <= a.output_frames &&
                           (t + kFrames - 1) * a.shape.stride + reach < a.frames;
    if (is_inside) {
      correlate_interior(a, t, range);
      t += kFrames;
    } else {
      correlate_edge(a, t, range);
      ++t;
    }
  }
}

// dx[j] = base[j] + Σ_k weight[k] · dy[(j + p − k · dilation) / stride] over exact divisions.
template <class T>
REHEARSE_INLINE void scatter_strided(const T* dy, int64_t frames, const T* weight, T* dx, const DepthwiseShape& shape,
                                     ChannelRange range, const T* base) {
  const int64_t channels = shape.channels;
  const int64_t output_frames = shape.output_frames(frames);
  const T* taps[kMostTaps];
  const T* slopes[kMostTaps];
  for (int64_t j = 0; j < frames; ++j) {
    int64_t num_taps = 0;
    for (int64_t k = 0; k < shape.kernel; ++k) {
      const int64_t position = j + shape.padding() - k * shape.dilation;
      if (position < 0 || position % shape.stride != 0 || position / shape.stride >= output_frames) continue;
      taps[num_taps] = weight + k * channels;
      slopes[num_taps++] = dy + position / shape.stride * channels;
    }
    for (int64_t c = range.begin; c < range.end; c += Lanes<T>::kCount) {
      const int64_t count = range.end - c;
      Vec<T> sum = {};
      if (base) sum = simd::load(base + j * channels + c, count);
      for (int64_t k = 0; k < num_taps; ++k) sum += simd::load(taps[k] + c, count) * simd::load(slopes[k] + c, count);
      simd::store(dx + j * channels + c, sum, count);
    }
  }
}

// Taps [k, k + N) of channels [c, c + lanes): sums stay in registers over all frames.
template <class T, int N>
REHEARSE_INLINE void weight_taps(const T* x, const T* dy, int64_t frames, T* dweight, const DepthwiseShape& shape,
                                 int64_t k, int64_t c, int64_t count) {
  const int64_t channels = shape.channels;
  const int64_t output_frames = shape.output_frames(frames);
  const int64_t shift = k * shape.dilation - shape.padding();
  const int64_t reach = shift + (N - 1) * shape.dilation;
  Vec<T> sums[N] = {};
  for (int64_t t = 0; t < output_frames; ++t) {
    const int64_t origin = t * shape.stride + shift;
    const Vec<T> g = simd::load(dy + t * channels + c, count);
    const bool is_inside = origin >= 0 && t * shape.stride + reach < frames && count >= Lanes<T>::kCount;
    if (is_inside) {
      const T* row = x + origin * channels + c;
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) sums[i] += g * simd::load(row + i * shape.dilation * channels);
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const int64_t position = origin + i * shape.dilation;
        if (position >= 0 && position < frames) sums[i] += g * simd::load(x + position * channels + c, count);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) {
    T* target = dweight + (k + i) * channels + c;
    simd::store(target, Vec<T>(simd::load(target, count) + sums[i]), count);
  }
}

template <class T>
REHEARSE_INLINE void grad_weight(const T* x, const T* dy, int64_t frames, T* dweight, const DepthwiseShape& shape,
                                 ChannelRange range) {
  for (int64_t c = range.begin; c < range.end; c += Lanes<T>::kCount) {
    const int64_t count = range.end - c;
    int64_t k = 0;
    while (k < shape.kernel) {
      const int64_t parts = (shape.kernel - k + kTaps - 1) / kTaps;
      const int64_t taps = (shape.kernel - k + parts - 1) / parts;
      switch (taps) {
        case 1:
          weight_taps<T, 1>(x, dy, frames, dweight, shape, k, c, count);
          break;
        case 2:
          weight_taps<T, 2>(x, dy, frames, dweight, shape, k, c, count);
          break;
        case 3:
          weight_taps<T, 3>(x, dy, frames, dweight, shape, k, c, count);
          break;
        case 4:
          weight_taps<T, 4>(x, dy, frames, dweight, shape, k, c, count);
          break;
        case 5:
          weight_taps<T, 5>(x, dy, frames, dweight, shape, k, c, count);
          break;
        case 6:
          weight_taps<T, 6>(x, dy, frames, dweight, shape, k, c, count);
          break;
        case 7:
          weight_taps<T, 7>(x, dy, frames, dweight, shape, k, c, count);
          break;
        default:
          weight_taps<T, 8>(x, dy, frames, dweight, shape, k, c, count);
          break;
      }
      k += taps;
    }
  }
}

template <class T>
REHEARSE_INLINE void grad_input(const T* dy, int64_t frames, const T* weight, T* dx, const DepthwiseShape& shape,
                                ChannelRange range, const T* base) {
  if (shape.stride != 1) return scatter_strided(dy, frames, weight, dx, shape, range, base);
  // With stride 1 and an odd kernel the transpose is the same sum with the taps reversed.
  const T* last = weight + (shape.kernel - 1) * shape.channels;
  correlate(Correlation<T>{dy, frames, last, -shape.channels, base, dx, frames, shape}, range);
}

}  // namespace

#define REHEARSE_DEPTHWISE(T)                                                                                    \
  void depthwise_forward(const T* x, int64_t frames, const T* weight, T* y, const DepthwiseShape& shape,         \
                         ChannelRange range) {                                                                   \
    correlate(Correlation<T>{x, frames, weight, shape.channels, nullptr, y, shape.output_frames(frames), shape}, \
              range);                                                                                            \
  }                                                                                                              \
  void depthwise_grad_input(const T* dy, int64_t frames, const T* weight, T* dx, const DepthwiseShape& shape,    \
                            ChannelRange range, const T* base) {                                                 \
    grad_input(dy, frames, weight, dx, shape, range, base);                                                      \
  }                                                                                                              \
  void depthwise_grad_weight(const T* x, const T* dy, int64_t frames, T* dweight, const DepthwiseShape& shape,   \
                             ChannelRange range) {                                                               \
    grad_weight(x, dy, frames, dweight, shape, range);                                                           \
  }
REHEARSE_DEPTHWISE(float)
REHEARSE_DEPTHWISE(double)
#undef REHEARSE_DEPTHWISE

}  // namespace rehearse::REHEARSE_TARGET
#endif
