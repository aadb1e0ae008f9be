#include "trainer/base/random.h"

#include <cmath>
#include <numbers>

namespace rehearse {

double RandomKey::normal(uint64_t index) const {
  // 1 - u lies in (0, 1], so the logarithm is finite.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(2 * index)));
  return radius * std::cos(2.0 * std::numbers::pi * uniform(2 * index + 1));
}

}  // namespace rehearse
