// Draws an index in proportion to integer weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rehearse {

class WeightedPick {
 public:
  // Probabilities become floor(p · 2^40): the last bits of a sum cannot decide a draw.
  void set_probabilities(const std::vector<double>& probabilities) {
    std::vector<uint64_t> weights(probabilities.size());
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<uint64_t>(probabilities[i] * 0x1.0p40);
    set_weights(weights);
  }
  void set_weights(const std::vector<uint64_t>& weights) {
    cumulative_.resize(weights.size());
    uint64_t sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) cumulative_[i] = sum += weights[i];
  }

  uint64_t total() const { return cumulative_.empty() ? 0 : cumulative_.back(); }
  // random: 64 uniform bits. total() must be positive.
  size_t pick(uint64_t random) const {
    const auto target = static_cast<uint64_t>((static_cast<unsigned __int128>(random) * total()) >> 64);
    return static_cast<size_t>(std::upper_bound(cumulative_.begin(), cumulative_.end(), target) - cumulative_.begin());
  }

 private:
  std::vector<uint64_t> cumulative_;
};

}  // namespace rehearse
