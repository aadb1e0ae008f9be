#include "trainer/engine/evaluate/bootstrap.h"

#include <algorithm>
#include <cmath>

#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {

Interval bootstrap_ratio(const std::vector<Ratio>& examples, double confidence, int resamples, uint64_t seed) {
  REHEARSE_CHECK(confidence > 0 && confidence < 1 && resamples > 0, "callers pass a confidence inside (0, 1)");
  if (examples.empty()) return {};
  const RandomKey key = RandomKey(seed).with("bootstrap");
  std::vector<double> rates(static_cast<size_t>(resamples));
  for (size_t r = 0; r < rates.size(); ++r) {
    const RandomKey resample_key = key.with(r);
    Ratio sum;
    for (size_t i = 0; i < examples.size(); ++i) sum += examples[resample_key.below(examples.size(), i)];
    rates[r] = sum.value();
  }
  std::sort(rates.begin(), rates.end());
  // The percentile p lies at position p · (resamples − 1), between two order statistics.
  const auto percentile = [&](double p) {
    const double position = p * static_cast<double>(rates.size() - 1);
    const auto below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, rates.size() - 1);
    return rates[below] + (rates[above] - rates[below]) * (position - std::floor(position));
  };
  return {percentile((1 - confidence) / 2), percentile((1 + confidence) / 2)};
}

}  // namespace rehearse
