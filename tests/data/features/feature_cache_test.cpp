#include "data/speech/features/feature_cache.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "trainer/base/config/config.h"

namespace rehearse {
namespace {

// A front-end that counts what it is asked for: frame t holds sample 10 t.
class CountingFeatures final : public Features {
 public:
  int64_t channels() const override { return 1; }
  int64_t num_frames(int64_t num_samples) const override { return num_samples / 10; }
  FeatureBatch compute(const at::Tensor& samples, const std::vector<int64_t>& num_samples) const override {
    ++num_computed;
    const int64_t frames = num_frames(num_samples.at(0));
    return {samples.slice(1, 0, frames * 10, 10).unsqueeze(2).clone(), {frames}};
  }
  nlohmann::json spec() const override { return "counting"; }
  mutable int num_computed = 0;
};

at::Tensor ramp(float first, int64_t count) {
  return (at::arange(count, at::kFloat) + first).unsqueeze(0);
}

TEST(FeatureCache, ComputesTheSameAudioOnce) {
  const CountingFeatures features;
  FeatureCache cache(1 << 20);
  const at::Tensor once = cache.compute(features, ramp(1, 100), {100}, true).x;
  const at::Tensor again = cache.compute(features, ramp(1, 100), {100}, true).x;
  EXPECT_EQ(features.num_computed, 1);
  EXPECT_TRUE(once.equal(again));
  EXPECT_EQ(cache.size_bytes(), 10 * 4);
}

TEST(FeatureCache, AudioThatDiffersInOneSampleIsOtherAudio) {
  const CountingFeatures features;
  FeatureCache cache(1 << 20);
  for (int64_t place = 0; place < 101; place += 10) {  // the last sample has no partner
    at::Tensor samples = ramp(1, 101);
    cache.compute(features, samples, {101}, true);
    samples[0][place] += 0.5f;
    const FeatureBatch changed = cache.compute(features, samples, {101}, true);
    EXPECT_TRUE(changed.x.equal(features.compute(samples, {101}).x)) << place;
  }
  const int before = features.num_computed;
  at::Tensor silent_end = ramp(1, 101);
  silent_end[0][100] = 0;
  cache.compute(features, silent_end, {101}, true);
  cache.compute(features, ramp(1, 100), {100}, true);
  EXPECT_EQ(features.num_computed, before + 2) << "a zero more is a sample more";
}

TEST(FeatureCache, IgnoresWhatLiesBeyondAnUtterance) {
  const CountingFeatures features;
  FeatureCache cache(1 << 20);
  const at::Tensor together = at::cat({ramp(1, 100), ramp(7, 100)});
  const FeatureBatch batch = cache.compute(features, together, {100, 40}, true);
  EXPECT_EQ(batch.lengths, (std::vector<int64_t>{10, 4}));
  EXPECT_EQ(batch.x[1].slice(0, 4).abs().sum().item<float>(), 0);
  EXPECT_TRUE(batch.x[1].slice(0, 0, 4).equal(cache.compute(features, ramp(7, 40), {40}, true).x[0]));
  EXPECT_EQ(features.num_computed, 2) << "alone it is the same audio";
}

TEST(FeatureCache, KeepsNothingThatIsAugmentedAndNothingBeyondItsSize) {
  const CountingFeatures features;
  FeatureCache cache(100);
  for (int i = 0; i < 3; ++i) cache.compute(features, ramp(1, 100), {100}, false);
  EXPECT_EQ(features.num_computed, 3);
  EXPECT_EQ(cache.size_bytes(), 0);
  for (int pass = 0; pass < 2; ++pass)
    for (int i = 0; i < 3; ++i) cache.compute(features, ramp(static_cast<float>(i), 100), {100}, true);
  EXPECT_EQ(cache.size_bytes(), 80) << "room for two of the three";
  EXPECT_EQ(features.num_computed, 3 + 3 + 1);
}

}  // namespace
}  // namespace rehearse
