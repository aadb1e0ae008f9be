// Time and frequency masks on features (Park et al. 2019), a function of (seed, step, utterance id).
#pragma once

#include <cstdint>
#include <vector>

#include "data/speech/features/features.h"
#include "trainer/base/random.h"

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

  // What apply() zeroes, on the host: times [B, T, 1] and channels [B, 1, F], true where masked.
  struct MaskTensors {
    at::Tensor times, channels;
  };
  MaskTensors masks(const FeatureBatch& batch, uint64_t seed, uint64_t step, const std::vector<uint64_t>& ids) const;

 private:
  struct Span {
    int64_t begin;
    int64_t end;
  };
  struct Masks {  // of one utterance
    std::vector<Span> times, channels;
  };
  std::vector<Masks> draw(const FeatureBatch& batch, uint64_t seed, uint64_t step,
                          const std::vector<uint64_t>& ids) const;
  static Span draw_span(const RandomKey& key, uint64_t mask, int64_t widest, int64_t size);

  Options options_;
};

}  // namespace rehearse
