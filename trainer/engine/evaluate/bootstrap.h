// Intervals of a figure of a set.
#pragma once

#include <cstdint>
#include <vector>

namespace rehearse {

// What one example adds to Σ part / Σ whole.
struct Ratio {
  double part = 0;
  double whole = 0;

  Ratio& operator+=(const Ratio& other) {
    part += other.part;
    whole += other.whole;
    return *this;
  }
  // Of nothing: 0 where nothing is wrong, else 1.
  double value() const { return whole == 0 ? (part == 0 ? 0 : 1) : part / whole; }
};

// Percentile bootstrap over examples of the set's ratio (counter-based, so a function of seed alone).
struct Interval {
  double low = 0;
  double high = 0;
};
Interval bootstrap_ratio(const std::vector<Ratio>& examples, double confidence = 0.95, int resamples = 1000,
                         uint64_t seed = 1);

}  // namespace rehearse
