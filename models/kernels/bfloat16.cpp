#include "models/kernels/bfloat16.h"

#include <algorithm>
#include <bit>

#include "trainer/base/simd_clones.h"

namespace rehearse {
namespace {

inline __attribute__((always_inline)) uint32_t rounded(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t nearest = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return value == value ? nearest : 0x7FC0u;
}

}  // namespace

REHEARSE_SIMD_CLONES void round_rows(const float* from, int64_t from_stride, int64_t rows, int64_t columns,
                                     uint16_t* to, int64_t to_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* __restrict row = from + r * from_stride;
    uint16_t* __restrict out = to + r * to_stride;
    for (int64_t c = 0; c < columns; ++c) out[c] = static_cast<uint16_t>(rounded(row[c]));
    std::fill(out + columns, out + to_stride, uint16_t{0});
  }
}

REHEARSE_SIMD_CLONES void round_pairs(const float* from, int64_t from_stride, int64_t rows, int64_t columns,
                                      uint32_t* to, int64_t to_stride) {
  for (int64_t r = 0; r < rows; r += 2) {
    const float* __restrict first = from + r * from_stride;
    const float* __restrict second = first + from_stride;
    uint32_t* __restrict out = to + r / 2 * to_stride;
    if (r + 1 < rows)
      for (int64_t c = 0; c < columns; ++c) out[c] = rounded(first[c]) | rounded(second[c]) << 16;
    else
      for (int64_t c = 0; c < columns; ++c) out[c] = rounded(first[c]);
  }
}

}  // namespace rehearse
