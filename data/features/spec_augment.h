// Time and frequency masks on features (Park et al. 2019), a function of (seed, step, utterance id).
#pragma once

#include <cstdint>
#include <vector>

#include "data/features/features.h"

namespace rehearse {

class SpecAugment {
 public:
  struct Options {
    int64_t time_masks = 0;    // per utterance
    double time_share = 0.05;  // widest, as a share of the utterance
    int64_t frequency_masks = 0;
    int64_t frequency_width = 15;  // widest, in channels
    static Options from(ConfigNode& node);
  };
  explicit SpecAugment(const Options& options) : options_(options) {}
  // Zeroes the masked parts in place (zero is the mean of normalised features).
  void apply(FeatureBatch& batch, uint64_t seed, uint64_t step, const std::vector<uint64_t>& ids) const;

 private:
  Options options_;
};

}  // namespace rehearse
