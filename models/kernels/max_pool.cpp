#include "models/kernels/max_pool.h"

#ifndef REHEARSE_TARGET
#define REHEARSE_KERNEL "models/kernels/max_pool.cpp"
#include "models/kernels/simd/for_each_target.h"

namespace rehearse {

#define REHEARSE_MAX_POOL(T)                                                                                 \
  void max_pool_forward(const T* x, int64_t rows, T* y, uint8_t* best, const MaxPoolShape& shape) {          \
    REHEARSE_DISPATCH(max_pool_forward(x, rows, y, best, shape))                                             \
  }                                                                                                          \
  void max_pool_backward(const T* dy, const uint8_t* best, int64_t rows, T* dx, const MaxPoolShape& shape) { \
    REHEARSE_DISPATCH(max_pool_backward(dy, best, rows, dx, shape))                                          \
  }
REHEARSE_MAX_POOL(float)
REHEARSE_MAX_POOL(double)
#undef REHEARSE_MAX_POOL

}  // namespace rehearse

#else
#include "models/kernels/simd/simd.h"

namespace rehearse::REHEARSE_TARGET {
namespace {

using simd::Lanes;
using simd::load;
using simd::store;
using simd::Vec;

template <class T>
using Mask = typename Lanes<T>::Mask;
template <class T>
struct Bytes;
template <>
struct Bytes<float> {
  typedef uint8_t Vector __attribute__((vector_size(Lanes<float>::kCount)));
};
template <>
struct Bytes<double> {
  typedef uint8_t Vector __attribute__((vector_size(Lanes<double>::kCount)));
};

// What a window finds in the first `count` lanes of its channels; `x` is its first value, `row` the distance of rows.
template <class T>
REHEARSE_INLINE void largest(const T* x, int64_t row, int64_t count, const MaxPoolShape& shape, T* y, uint8_t* best) {
  Vec<T> value = load(x, count);
  Mask<T> place = {};
  for (int32_t i = 0, tap = 0; i < shape.size; ++i)
    for (int32_t j = 0; j < shape.size; ++j, ++tap) {
      const Vec<T> other = load(x + i * row + j * shape.channels, count);
      const Mask<T> is_larger = (other > value) | ((other != other) & (value == value));
      value = is_larger ? other : value;
      place = is_larger ? Mask<T>{} + tap : place;
    }
  store(y, value, count);
  const auto bytes = __builtin_convertvector(place, typename Bytes<T>::Vector);
  std::memcpy(best, &bytes, static_cast<size_t>(count));
}

// Writes where windows lie side by side, adds where they may share values.
template <bool kAdds, class T>
REHEARSE_INLINE void spread(const T* dy, const uint8_t* best, int64_t row, int64_t count, const MaxPoolShape& shape,
                            T* dx) {
  const Vec<T> slope = load(dy, count);
  typename Bytes<T>::Vector bytes = {};
  std::memcpy(&bytes, best, static_cast<size_t>(count));
  const Mask<T> place = __builtin_convertvector(bytes, Mask<T>);
  for (int32_t i = 0, tap = 0; i < shape.size; ++i)
    for (int32_t j = 0; j < shape.size; ++j, ++tap) {
      T* to = dx + i * row + j * shape.channels;
      const Vec<T> here = place == tap ? slope : Vec<T>{};
      store(to, kAdds ? load(to, count) + here : here, count);
    }
}

// task(position in y, position in x, number of channels) for all windows and groups of channels. A whole group is told
// apart, so that its loads and stores are whole vectors.
template <int64_t kLanes, class Task>
REHEARSE_INLINE void for_each_window(int64_t rows, const MaxPoolShape& shape, const Task& task) {
  const int64_t channels = shape.channels, outputs = shape.outputs(shape.width);
  for (int64_t t = 0; t < shape.outputs(rows); ++t)
    for (int64_t w = 0; w < outputs; ++w) {
      const int64_t to = (t * outputs + w) * channels;
      const int64_t from = t * shape.stride * shape.row() + w * shape.stride * channels;
      int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes) task(to + c, from + c, kLanes);
      if (c < channels) task(to + c, from + c, channels - c);
    }
}

template <class T>
REHEARSE_INLINE void run_forward(const T* x, int64_t rows, T* y, uint8_t* best, const MaxPoolShape& shape) {
  for_each_window<Lanes<T>::kCount>(
      rows, shape, [&](int64_t to, int64_t from, int64_t count) __attribute__((always_inline)) {
        largest(x + from, shape.row(), count, shape, y + to, best + to);
      });
}

template <bool kAdds, class T>
REHEARSE_INLINE void spread_all(const T* dy, const uint8_t* best, int64_t rows, T* dx, const MaxPoolShape& shape) {
  for_each_window<Lanes<T>::kCount>(
      rows, shape, [&](int64_t to, int64_t from, int64_t count) __attribute__((always_inline)) {
        spread<kAdds>(dy + to, best + to, shape.row(), count, shape, dx + from);
      });
}

template <class T>
void clear(T* from, int64_t count) {
  std::memset(from, 0, static_cast<size_t>(count) * sizeof(T));
}

template <class T>
REHEARSE_INLINE void run_backward(const T* dy, const uint8_t* best, int64_t rows, T* dx, const MaxPoolShape& shape) {
  if (shape.stride != shape.size) {
    clear(dx, rows * shape.row());
    return spread_all<true>(dy, best, rows, dx, shape);
  }
  spread_all<false>(dy, best, rows, dx, shape);
  const int64_t used_rows = shape.outputs(rows) * shape.size, used = shape.output_row() * shape.size;
  for (int64_t t = 0; t < used_rows && used < shape.row(); ++t) clear(dx + t * shape.row() + used, shape.row() - used);
  clear(dx + used_rows * shape.row(), (rows - used_rows) * shape.row());
}

}  // namespace

#define REHEARSE_MAX_POOL(T)                                                                                 \
  void max_pool_forward(const T* x, int64_t rows, T* y, uint8_t* best, const MaxPoolShape& shape) {          \
    run_forward(x, rows, y, best, shape);                                                                    \
  }                                                                                                          \
  void max_pool_backward(const T* dy, const uint8_t* best, int64_t rows, T* dx, const MaxPoolShape& shape) { \
    run_backward(dy, best, rows, dx, shape);                                                                 \
  }
REHEARSE_MAX_POOL(float)
REHEARSE_MAX_POOL(double)
#undef REHEARSE_MAX_POOL

}  // namespace rehearse::REHEARSE_TARGET
#endif
