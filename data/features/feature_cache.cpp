#include "data/features/feature_cache.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace rehearse {

// samples [1, n] of one utterance -> [T, F].
at::Tensor FeatureCache::features_of(const Features& features, const at::Tensor& samples, uint64_t id,
                                     bool is_cacheable) {
  const int64_t frames = features.num_frames(samples.size(1));
  if (is_cacheable) {
    const std::lock_guard lock(mutex_);
    const auto found = frames_.find(id);
    if (found != frames_.end() && found->second.size(0) == frames) return found->second;
  }
  const at::Tensor x = features.compute(samples, {samples.size(1)}).x.squeeze(0).contiguous();
  const auto bytes = static_cast<int64_t>(x.nbytes());
  const std::lock_guard lock(mutex_);
  if (is_cacheable && size_bytes_ + bytes <= capacity_bytes_ && frames_.emplace(id, x).second) size_bytes_ += bytes;
  return x;
}

FeatureBatch FeatureCache::compute(const Features& features, const at::Tensor& samples,
                                   const std::vector<int64_t>& num_samples, const std::vector<uint64_t>& ids,
                                   bool is_cacheable) {
  FeatureBatch batch;
  for (int64_t count : num_samples) batch.lengths.push_back(features.num_frames(count));
  const int64_t longest = *std::max_element(batch.lengths.begin(), batch.lengths.end());
  batch.x = at::zeros({samples.size(0), longest, features.channels()}, samples.options());
  for (int64_t b = 0; b < samples.size(0); ++b) {
    const auto row = static_cast<size_t>(b);
    const at::Tensor alone = samples.select(0, b).narrow(0, 0, num_samples[row]).unsqueeze(0);
    batch.x.select(0, b).narrow(0, 0, batch.lengths[row]).copy_(features_of(features, alone, ids[row], is_cacheable));
  }
  return batch;
}

}  // namespace rehearse
