#include "models/kernels/batch_norm.h"

#include <type_traits>

#ifndef REHEARSE_TARGET
#define REHEARSE_KERNEL "models/kernels/batch_norm.cpp"
#include "models/kernels/simd/for_each_target.h"

namespace rehearse {

#define REHEARSE_BATCH_NORM(T)                                                                \
  void add_moments(const T* x, int64_t frames, int64_t channels, double* sums) {              \
    REHEARSE_DISPATCH(add_moments(x, frames, channels, sums))                                 \
  }                                                                                           \
  void scaled_forward(const ScaledRows<T>& rows, T* y) {                                      \
    REHEARSE_DISPATCH(scaled_forward(rows, y))                                                \
  }                                                                                           \
  void scaled_sums(const ScaledRows<T>& rows, const T* dy, T* sums) {                         \
    REHEARSE_DISPATCH(scaled_sums(rows, dy, sums))                                            \
  }                                                                                           \
  void scaled_backward(const ScaledRows<T>& rows, const T* dy, const T* mean_slopes, T* dx) { \
    REHEARSE_DISPATCH(scaled_backward(rows, dy, mean_slopes, dx))                             \
  }
REHEARSE_BATCH_NORM(float)
REHEARSE_BATCH_NORM(double)
#undef REHEARSE_BATCH_NORM

}  // namespace rehearse

#else
#include "models/kernels/simd/epilogue_lanes.h"

namespace rehearse::REHEARSE_TARGET {
namespace {

using simd::load;
using simd::store;

// Vectors of channels whose sums stay in registers over all frames of a call.
constexpr int64_t kVectors = 4;

template <class T>
REHEARSE_INLINE Vec<double> load_double(const T* from, int64_t count) {
  typedef T Part __attribute__((vector_size(Lanes<double>::kCount * sizeof(T))));
  Part part = {};
  if (count >= Lanes<double>::kCount)
    std::memcpy(&part, from, sizeof part);
  else
    for (int64_t i = 0; i < count; ++i) part[i] = from[i];
  return __builtin_convertvector(part, Vec<double>);
}

// Calls task(first channel, number of channels) for groups of kVectors vectors of S.
template <class S, class Task>
REHEARSE_INLINE void for_each_group(int64_t channels, const Task& task) {
  constexpr int64_t kEach = kVectors * Lanes<S>::kCount;
  for (int64_t c = 0; c < channels; c += kEach) task(c, channels - c < kEach ? channels - c : kEach);
}

template <class S>
REHEARSE_INLINE void add_to(S* sums, int64_t count, const Vec<S>* values) {
  for (int64_t v = 0, c = 0; c < count; ++v, c += Lanes<S>::kCount)
    store(sums + c, Vec<S>(load(sums + c, count - c) + values[v]), count - c);
}

template <class T>
REHEARSE_INLINE void moments(const T* x, int64_t frames, int64_t channels, double* sums) {
  for_each_group<double>(
      channels, [&](int64_t first, int64_t count) __attribute__((always_inline)) {
        Vec<double> sum[kVectors] = {}, square[kVectors] = {};
        const T* row = x + first;
        for (int64_t t = 0; t < frames; ++t, row += channels) {
#pragma GCC unroll 4
          for (int64_t v = 0; v < kVectors; ++v) {
            const int64_t c = v * Lanes<double>::kCount;
            const Vec<double> value = load_double(row + c, count - c);
            sum[v] += value;
            square[v] += value * value;
          }
        }
        add_to(sums + first, count, sum);
        add_to(sums + channels + first, count, square);
      });
}

template <class T>
REHEARSE_INLINE void forward(const ScaledRows<T>& a, T* y) {
  const DropoutLanes<T> dropout(a.epilogue.dropout);
  with_epilogue(
      a.epilogue, [&](auto activation, auto drops) __attribute__((always_inline)) {
        for (int64_t t = 0; t < a.frames; ++t) {
          const int64_t row = t * a.channels, element = a.epilogue.first_frame * a.channels + row;
          for (int64_t c = 0; c < a.channels; c += Lanes<T>::kCount) {
            const int64_t count = a.channels - c;
            Vec<T> z = load(a.x + row + c, count) * load(a.scale + c, count) + load(a.shift + c, count);
            z = activate<T, activation()>(z);
            if constexpr (drops()) z *= dropout.factors(element + c);
            store(y + row + c, z, count);
          }
        }
      });
}

// dz of `count` channels at x and dy.
template <class T, Activation kActivation, bool kDrops>
REHEARSE_INLINE Vec<T> slope_at(const ScaledRows<T>& a, const DropoutLanes<T>& dropout, const Vec<T>& x, const T* dy,
                                int64_t row, int64_t c, int64_t count) {
  Vec<T> dz = load(dy + row + c, count);
  if constexpr (kDrops) dz *= dropout.factors(a.epilogue.first_frame * a.channels + row + c);
  if constexpr (kActivation != Activation::kNone)
    dz *= slope<T, kActivation>(x * load(a.scale + c, count) + load(a.shift + c, count));
  return dz;
}

template <class T>
REHEARSE_INLINE void sums_of(const ScaledRows<T>& a, const T* dy, T* sums) {
  const DropoutLanes<T> dropout(a.epilogue.dropout);
  with_epilogue(
      a.epilogue, [&](auto activation, auto drops) __attribute__((always_inline)) {
        for_each_group<T>(
            a.channels, [&](int64_t first, int64_t count) __attribute__((always_inline)) {
              Vec<T> sum[kVectors] = {}, product[kVectors] = {};
              for (int64_t t = 0; t < a.frames; ++t) {
                const int64_t row = t * a.channels;
#pragma GCC unroll 4
                for (int64_t v = 0; v < kVectors; ++v) {
                  const int64_t c = first + v * Lanes<T>::kCount, left = first + count - c;
                  if (left <= 0) break;
                  const Vec<T> x = load(a.x + row + c, left);
                  const Vec<T> dz = slope_at<T, activation(), drops()>(a, dropout, x, dy, row, c, left);
                  sum[v] += dz;
                  product[v] += dz * (x * load(a.rstd + c, left) + load(a.centre + c, left));
                }
              }
              add_to(sums + first, count, sum);
              add_to(sums + a.channels + first, count, product);
            });
      });
}

template <class T>
REHEARSE_INLINE void backward(const ScaledRows<T>& a, const T* dy, const T* mean_slopes, T* dx) {
  const DropoutLanes<T> dropout(a.epilogue.dropout);
  with_epilogue(
      a.epilogue, [&](auto activation, auto drops) __attribute__((always_inline)) {
        for (int64_t t = 0; t < a.frames; ++t) {
          const int64_t row = t * a.channels;
          for (int64_t c = 0; c < a.channels; c += Lanes<T>::kCount) {
            const int64_t count = a.channels - c;
            const Vec<T> x = load(a.x + row + c, count);
            Vec<T> dz = slope_at<T, activation(), drops()>(a, dropout, x, dy, row, c, count);
            if (mean_slopes)
              dz -= load(mean_slopes + c, count) + (x * load(a.rstd + c, count) + load(a.centre + c, count)) *
                                                       load(mean_slopes + a.channels + c, count);
            store(dx + row + c, Vec<T>(dz * load(a.scale + c, count)), count);
          }
        }
      });
}

}  // namespace

#define REHEARSE_BATCH_NORM(T)                                                                \
  void add_moments(const T* x, int64_t frames, int64_t channels, double* sums) {              \
    moments(x, frames, channels, sums);                                                       \
  }                                                                                           \
  void scaled_forward(const ScaledRows<T>& rows, T* y) {                                      \
    forward(rows, y);                                                                         \
  }                                                                                           \
  void scaled_sums(const ScaledRows<T>& rows, const T* dy, T* sums) {                         \
    sums_of(rows, dy, sums);                                                                  \
  }                                                                                           \
  void scaled_backward(const ScaledRows<T>& rows, const T* dy, const T* mean_slopes, T* dx) { \
    backward(rows, dy, mean_slopes, dx);                                                      \
  }
REHEARSE_BATCH_NORM(float)
REHEARSE_BATCH_NORM(double)
#undef REHEARSE_BATCH_NORM

}  // namespace rehearse::REHEARSE_TARGET
#endif
