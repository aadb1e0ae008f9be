// Transposed copies, which products of matrices in rows need of one operand.
#pragma once

#include <cstdint>

namespace rehearse {

// from [rows, columns], rows `from_stride` apart -> to [columns, rows], rows `to_stride` apart; they do not overlap.
void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to, int64_t to_stride);

}  // namespace rehearse
