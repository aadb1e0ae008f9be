#include "models/kernels/transpose.h"

#include <cstdint>
#include <cstring>

#include "trainer/base/simd_clones.h"

namespace rehearse {
namespace {

typedef float Eight __attribute__((vector_size(32)));
typedef int32_t Lane __attribute__((vector_size(32)));

constexpr int64_t kSide = 8;

// Eight rows of eight: pairs, then pairs of pairs, then halves change places.
inline __attribute__((always_inline)) void transpose_square(const float* from, int64_t from_stride, float* to,
                                                            int64_t to_stride) {
  Eight row[kSide], pair[kSide], four[kSide];
#pragma GCC unroll 8
  for (int64_t i = 0; i < kSide; ++i) std::memcpy(&row[i], from + i * from_stride, sizeof row[i]);
#pragma GCC unroll 4
  for (int64_t i = 0; i < kSide; i += 2) {
    pair[i] = __builtin_shuffle(row[i], row[i + 1], Lane{0, 8, 1, 9, 4, 12, 5, 13});
    pair[i + 1] = __builtin_shuffle(row[i], row[i + 1], Lane{2, 10, 3, 11, 6, 14, 7, 15});
  }
#pragma GCC unroll 2
  for (int64_t i = 0; i < kSide; i += 4) {
    four[i] = __builtin_shuffle(pair[i], pair[i + 2], Lane{0, 1, 8, 9, 4, 5, 12, 13});
    four[i + 1] = __builtin_shuffle(pair[i], pair[i + 2], Lane{2, 3, 10, 11, 6, 7, 14, 15});
    four[i + 2] = __builtin_shuffle(pair[i + 1], pair[i + 3], Lane{0, 1, 8, 9, 4, 5, 12, 13});
    four[i + 3] = __builtin_shuffle(pair[i + 1], pair[i + 3], Lane{2, 3, 10, 11, 6, 7, 14, 15});
  }
#pragma GCC unroll 4
  for (int64_t i = 0; i < kSide / 2; ++i) {
    const Eight low = __builtin_shuffle(four[i], four[i + 4], Lane{0, 1, 2, 3, 8, 9, 10, 11});
    const Eight high = __builtin_shuffle(four[i], four[i + 4], Lane{4, 5, 6, 7, 12, 13, 14, 15});
    std::memcpy(to + i * to_stride, &low, sizeof low);
    std::memcpy(to + (i + kSide / 2) * to_stride, &high, sizeof high);
  }
}

}  // namespace

// By bands of eight columns, so that what is written stays in few lines of the cache.
REHEARSE_SIMD_CLONES void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                                    int64_t to_stride) {
  const int64_t whole_rows = rows / kSide * kSide, whole_columns = columns / kSide * kSide;
  for (int64_t c = 0; c < whole_columns; c += kSide) {
    for (int64_t r = 0; r < whole_rows; r += kSide)
      transpose_square(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
    for (int64_t r = whole_rows; r < rows; ++r)
      for (int64_t i = 0; i < kSide; ++i) to[(c + i) * to_stride + r] = from[r * from_stride + c + i];
  }
  for (int64_t c = whole_columns; c < columns; ++c)
    for (int64_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * from_stride + c];
}

}  // namespace rehearse
