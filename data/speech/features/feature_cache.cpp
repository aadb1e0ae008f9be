#include "data/speech/features/feature_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "trainer/base/random.h"

namespace rehearse {
namespace {

// Every step is a bijection, of the digest and of the samples. About 0.03 ms for a second of audio, the front-end 1 ms.
uint64_t digest_of(const float* samples, int64_t count) {
  uint64_t digest = mix64(static_cast<uint64_t>(count));
  for (int64_t i = 0; i < count; i += 2) {
    uint64_t pair = 0;
    std::memcpy(&pair, samples + i, sizeof(float) * static_cast<size_t>(std::min<int64_t>(2, count - i)));
    digest = mix64(digest ^ pair);
  }
  return digest;
}

}  // namespace

// samples [1, n] of one utterance -> [T, F].
at::Tensor FeatureCache::features_of(const Features& features, const at::Tensor& samples, bool is_cacheable) {
  const uint64_t digest = is_cacheable ? digest_of(samples.const_data_ptr<float>(), samples.size(1)) : 0;
  if (is_cacheable) {
    const std::lock_guard lock(mutex_);
    const auto found = frames_.find(digest);
    if (found != frames_.end() && found->second.size(0) == features.num_frames(samples.size(1))) return found->second;
  }
  const at::Tensor x = features.compute(samples, {samples.size(1)}).x.squeeze(0).contiguous();
  const auto bytes = static_cast<int64_t>(x.nbytes());
  const std::lock_guard lock(mutex_);
  if (is_cacheable && size_bytes_ + bytes <= capacity_bytes_ && frames_.emplace(digest, x).second) size_bytes_ += bytes;
  return x;
}

FeatureBatch FeatureCache::compute(const Features& features, const at::Tensor& samples,
                                   const std::vector<int64_t>& num_samples, bool is_cacheable) {
  FeatureBatch batch;
  for (int64_t count : num_samples) batch.lengths.push_back(features.num_frames(count));
  const int64_t longest = *std::max_element(batch.lengths.begin(), batch.lengths.end());
  batch.x = at::zeros({samples.size(0), longest, features.channels()}, samples.options());
  for (int64_t b = 0; b < samples.size(0); ++b) {
    const auto row = static_cast<size_t>(b);
    const at::Tensor alone = samples.select(0, b).narrow(0, 0, num_samples[row]).unsqueeze(0);
    batch.x.select(0, b).narrow(0, 0, batch.lengths[row]).copy_(features_of(features, alone, is_cacheable));
  }
  return batch;
}

}  // namespace rehearse
