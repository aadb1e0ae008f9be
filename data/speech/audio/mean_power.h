#pragma once

#include <span>

namespace rehearse {

double mean_power(std::span<const float> samples);  // mean of squares; 0 for no samples

}  // namespace rehearse
