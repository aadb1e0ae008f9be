// Values that are no numbers.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace rehearse {

// Place of the first infinity or NaN.
std::optional<size_t> first_not_finite(std::span<const float> values);
// "inf", "-inf" or "nan", whose sign says nothing.
std::string not_finite_text(float value);

}  // namespace rehearse
