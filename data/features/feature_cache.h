// Features of utterances that are always the same audio, kept between passes.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "data/features/features.h"

namespace rehearse {

// On the CPU every utterance's features are computed by themselves, so their bits do not depend on batch mates or on
// what is cached; a run that resumes with an empty cache goes on exactly. Thread-safe.
class FeatureCache {
 public:
  explicit FeatureCache(int64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  // samples [B, N] on the CPU. `is_cacheable`: the audio of an id is the same every time (no waveform augmentation).
  FeatureBatch compute(const Features& features, const at::Tensor& samples, const std::vector<int64_t>& num_samples,
                       const std::vector<uint64_t>& ids, bool is_cacheable);
  int64_t size_bytes() const { return size_bytes_; }

 private:
  at::Tensor features_of(const Features& features, const at::Tensor& samples, uint64_t id, bool is_cacheable);

  std::mutex mutex_;
  std::unordered_map<uint64_t, at::Tensor> frames_;  // id -> [T, F]
  int64_t capacity_bytes_;
  int64_t size_bytes_ = 0;
};

}  // namespace rehearse
