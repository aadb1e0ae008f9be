// float32 rounded to bfloat16, to nearest and ties to even, in the two layouts that a product reads; NaN stays NaN.
#pragma once

#include <cstdint>

namespace rehearse {

// from [rows, columns], rows `from_stride` apart, which may overlap -> to [rows, to_stride], zero beyond `columns`.
void round_rows(const float* from, int64_t from_stride, int64_t rows, int64_t columns, uint16_t* to, int64_t to_stride);
// Rows in pairs: to [⌈rows / 2⌉, columns] holds the first one's value in its low half, the second one's in its high
// half; an odd last row has zeros beside it.
void round_pairs(const float* from, int64_t from_stride, int64_t rows, int64_t columns, uint32_t* to,
                 int64_t to_stride);

}  // namespace rehearse
