#include "data/speech/audio/mean_power.h"

namespace rehearse {

double mean_power(std::span<const float> samples) {
  if (samples.empty()) return 0;
  double sum = 0;
  for (const float sample : samples) sum += static_cast<double>(sample) * static_cast<double>(sample);
  return sum / static_cast<double>(samples.size());
}

}  // namespace rehearse
