#include <algorithm>

#include "trainer/base/simd_clones.h"
#include "trainer/engine/update/optimizer.h"

namespace rehearse {
namespace {

constexpr size_t kLanes = 16;

// Fixed lanes make the order of additions part of the code, not of the instruction set.
REHEARSE_SIMD_CLONES double block_sum(const float* values, size_t count) {
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const double value = values[i + lane];
      lanes[lane] += value * value;
    }
  for (size_t lane = 0; i < count; ++i, ++lane) lanes[lane] += static_cast<double>(values[i]) * values[i];
  double sum = 0;
  for (double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

double sum_of_squares(std::span<const float> values) {
  double sum = 0;
  for (size_t start = 0; start < values.size(); start += kSumBlock)
    sum += block_sum(values.data() + start, std::min(kSumBlock, values.size() - start));
  return sum;
}

}  // namespace rehearse
