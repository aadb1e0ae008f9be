#include "data/speech/features/feature_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "trainer/base/random.h"

namespace rehearse {
namespace {

// Every step is a bijection, of the digests and of the samples; four chains side by side hide the latency of each.
uint64_t digest_of(const float* samples, int64_t count) {
  constexpr int64_t kChains = 4, kFloats = 2 * kChains;
  uint64_t digests[kChains] = {1, 2, 3, 4};
  for (int64_t i = 0; i < count; i += kFloats) {
    uint64_t pairs[kChains] = {};
    std::memcpy(pairs, samples + i, sizeof(float) * static_cast<size_t>(std::min(kFloats, count - i)));
    for (int64_t k = 0; k < kChains; ++k) digests[k] = mix64(digests[k] ^ pairs[k]);
  }
  uint64_t digest = mix64(static_cast<uint64_t>(count));
  for (const uint64_t one : digests) digest = mix64(digest ^ one);
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

// On a CPU: rows are copied as memory, for a call of libtorch costs more than a short utterance.
FeatureBatch FeatureCache::compute(const Features& features, const at::Tensor& samples,
                                   const std::vector<int64_t>& num_samples, bool is_cacheable) {
  FeatureBatch batch;
  for (int64_t count : num_samples) batch.lengths.push_back(features.num_frames(count));
  const int64_t longest = *std::max_element(batch.lengths.begin(), batch.lengths.end());
  batch.x = at::empty({samples.size(0), longest, features.channels()}, samples.options());
  const int64_t whole = longest * features.channels();
  float* to = batch.x.mutable_data_ptr<float>();
  for (size_t b = 0; b < num_samples.size(); ++b, to += whole) {
    const at::Tensor alone = samples.narrow(0, static_cast<int64_t>(b), 1).narrow(1, 0, num_samples[b]);
    const at::Tensor frames = features_of(features, alone, is_cacheable);
    const int64_t real = batch.lengths[b] * features.channels();
    std::memcpy(to, frames.const_data_ptr<float>(), static_cast<size_t>(real) * sizeof(float));
    std::memset(to + real, 0, static_cast<size_t>(whole - real) * sizeof(float));
  }
  return batch;
}

}  // namespace rehearse
