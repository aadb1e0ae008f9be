// Features of utterances that are always the same audio, kept between passes.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "data/speech/features/features.h"

namespace rehearse {

// Found by what is heard, the samples themselves: corpora with equal names, a pack and its source, or training and
// validation may share one cache. On the CPU every utterance's features are computed by themselves, so their bits do
// not depend on batch mates or on what is cached; a run that resumes with an empty cache goes on exactly. Thread-safe.
class FeatureCache {
 public:
  explicit FeatureCache(int64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  // samples [B, N] on the CPU, float and contiguous; the same `features` at every call. `is_cacheable`: the audio will
  // come again as it is (no waveform augmentation).
  FeatureBatch compute(const Features& features, const at::Tensor& samples, const std::vector<int64_t>& num_samples,
                       bool is_cacheable);
  int64_t size_bytes() const { return size_bytes_; }

 private:
  at::Tensor features_of(const Features& features, const at::Tensor& samples, bool is_cacheable);

  std::mutex mutex_;
  std::unordered_map<uint64_t, at::Tensor> frames_;  // digest of the samples -> [T, F]
  int64_t capacity_bytes_;
  int64_t size_bytes_ = 0;
};

}  // namespace rehearse
