// Vectors of a fixed width in GCC's vector extension, inside models/kernels only. A kernel's file includes this once
// for each processor generation (for_each_target.h), with the width that it has.
// What a kernel calls must be inlined into it, so that it is compiled for its generation.
#define REHEARSE_INLINE inline __attribute__((always_inline))

namespace rehearse::REHEARSE_TARGET::simd {

template <class T>
struct Lanes;

template <>
struct Lanes<float> {
  static constexpr int64_t kCount = REHEARSE_VECTOR_BYTES / 4;
  typedef float Vector __attribute__((vector_size(REHEARSE_VECTOR_BYTES)));
  typedef int32_t Mask __attribute__((vector_size(REHEARSE_VECTOR_BYTES)));
  typedef uint32_t Hash __attribute__((vector_size(REHEARSE_VECTOR_BYTES)));
  typedef int32_t HashMask __attribute__((vector_size(REHEARSE_VECTOR_BYTES)));
};

template <>
struct Lanes<double> {
  static constexpr int64_t kCount = REHEARSE_VECTOR_BYTES / 8;
  typedef double Vector __attribute__((vector_size(REHEARSE_VECTOR_BYTES)));
  typedef int64_t Mask __attribute__((vector_size(REHEARSE_VECTOR_BYTES)));
  typedef uint32_t Hash __attribute__((vector_size(REHEARSE_VECTOR_BYTES / 2)));
  typedef int32_t HashMask __attribute__((vector_size(REHEARSE_VECTOR_BYTES / 2)));
};

template <class T>
using Vec = typename Lanes<T>::Vector;

template <class T>
REHEARSE_INLINE Vec<T> load(const T* from) {
  Vec<T> vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

// The first `count` lanes; the others are zero.
template <class T>
REHEARSE_INLINE Vec<T> load(const T* from, int64_t count) {
  if (count >= Lanes<T>::kCount) return load(from);
  Vec<T> vector = {};
  for (int64_t i = 0; i < count; ++i) vector[i] = from[i];
  return vector;
}

template <class T>
REHEARSE_INLINE void store(T* to, const Vec<T>& vector) {
  std::memcpy(to, &vector, sizeof(vector));
}

template <class T>
REHEARSE_INLINE void store(T* to, const Vec<T>& vector, int64_t count) {
  if (count >= Lanes<T>::kCount) return store(to, vector);
  for (int64_t i = 0; i < count; ++i) to[i] = vector[i];
}

template <class T>
REHEARSE_INLINE Vec<T> splat(T value) {
  return value - Vec<T>{};
}

// Pairwise: in the order of the width, whatever the compiler makes of it.
template <class T>
REHEARSE_INLINE T sum_lanes(Vec<T> vector) {
  for (int64_t width = Lanes<T>::kCount / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) vector[i] += vector[i + width];
  return vector[0];
}

template <class T>
REHEARSE_INLINE T max_lanes(const Vec<T>& vector) {
  T best = vector[0];
  for (int64_t i = 1; i < Lanes<T>::kCount; ++i) best = vector[i] > best ? vector[i] : best;
  return best;
}

template <class T>
REHEARSE_INLINE Vec<T> maximum(const Vec<T>& a, const Vec<T>& b) {
  return a > b ? a : b;
}

template <class T>
REHEARSE_INLINE Vec<T> minimum(const Vec<T>& a, const Vec<T>& b) {
  return a < b ? a : b;
}

// e^x, clamped to the finite range; NaN stays NaN. x = n ln 2 + r with |r| <= ln 2 / 2, then the Taylor series of e^r,
// below half a unit in the last place there.
REHEARSE_INLINE Vec<float> exp(Vec<float> x) {
  x = x < -87.0f ? splat(-87.0f) : x;
  x = x > 88.0f ? splat(88.0f) : x;
  const Vec<float> shifted = x * 1.44269504f + 12582912.0f;
  const Vec<float> n = shifted - 12582912.0f;
  const Vec<float> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec<float> sum = splat(1.0f / 5040);
  sum = sum * r + 1.0f / 720;
  sum = sum * r + 1.0f / 120;
  sum = sum * r + 1.0f / 24;
  sum = sum * r + 1.0f / 6;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  Lanes<float>::Mask bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = ((bits - 0x4B400000) + 127) << 23;
  Vec<float> scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  return sum * scale;
}

REHEARSE_INLINE Vec<double> exp(Vec<double> x) {
  x = x < -708.0 ? splat(-708.0) : x;
  x = x > 709.0 ? splat(709.0) : x;
  const Vec<double> shifted = x * 1.4426950408889634 + 6755399441055744.0;
  const Vec<double> n = shifted - 6755399441055744.0;
  const Vec<double> r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  Vec<double> sum = splat(1.0 / 6227020800);
  sum = sum * r + 1.0 / 479001600;
  sum = sum * r + 1.0 / 39916800;
  sum = sum * r + 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  Lanes<double>::Mask bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = ((bits - 0x4338000000000000) + 1023) << 52;
  Vec<double> scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  return sum * scale;
}

// ln x for normal x > 0: x = 2^e m with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m - 1) / (m + 1)).
REHEARSE_INLINE Vec<double> log(const Vec<double>& x) {
  Lanes<double>::Mask bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const Lanes<double>::Mask offset = bits - 0x3FE6A09E667F3BCD;  // of sqrt(1/2)
  const Lanes<double>::Mask exponent = offset >> 52;
  bits -= exponent << 52;
  Vec<double> m;
  std::memcpy(&m, &bits, sizeof(m));
  const Vec<double> f = (m - 1.0) / (m + 1.0);
  const Vec<double> square = f * f;
  Vec<double> sum = splat(1.0 / 21);
  sum = sum * square + 1.0 / 19;
  sum = sum * square + 1.0 / 17;
  sum = sum * square + 1.0 / 15;
  sum = sum * square + 1.0 / 13;
  sum = sum * square + 1.0 / 11;
  sum = sum * square + 1.0 / 9;
  sum = sum * square + 1.0 / 7;
  sum = sum * square + 1.0 / 5;
  sum = sum * square + 1.0 / 3;
  sum = sum * square + 1.0;
  const Vec<double> e = __builtin_convertvector(exponent, Vec<double>);
  return e * 0.6931471805599453 + 2.0 * f * sum;
}

}  // namespace rehearse::REHEARSE_TARGET::simd
