#include "trainer/base/finite.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace rehearse {

std::optional<size_t> first_not_finite(std::span<const float> values) {
  constexpr size_t kBlock = 4096;
  constexpr uint32_t kExponent = 0x7F800000u;
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    const auto block = values.subspan(begin, std::min(kBlock, values.size() - begin));
    uint32_t bad = 0;  // without a branch per value
    for (const float value : block) bad |= (std::bit_cast<uint32_t>(value) & kExponent) == kExponent ? 1u : 0u;
    if (bad == 0) continue;
    for (size_t i = 0; i < block.size(); ++i)
      if (!std::isfinite(block[i])) return begin + i;
  }
  return std::nullopt;
}

std::string not_finite_text(float value) {
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

}  // namespace rehearse
