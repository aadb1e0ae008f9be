#include "data/speech/features/features.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/speech/features/spec_augment.h"
#include "trainer/base/random.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

at::Tensor noise_samples(int64_t batch, int64_t samples, uint64_t seed) {
  at::Tensor x = at::empty({batch, samples}, at::kFloat);
  float* data = x.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) data[i] = static_cast<float>(RandomKey(seed).uniform(i) - 0.5);
  return x;
}

struct BuiltFeatures {
  Config config;
  std::unique_ptr<Features> features;
  explicit BuiltFeatures(const std::string& yaml)
      : config(Config::parse(yaml)), features(build_features(config.root(), {16000})) {
    config.root().expect_all_read();
  }
};

// The examples of all that are registered, and what they leave out.
std::vector<std::string> front_ends() {
  std::vector<std::string> yaml = {"{type: log_mel, normalize: none}", "{type: stft, window_ms: 20}"};
  for (const auto& [name, entry] : Registry<Features>::instance().entries()) yaml.push_back(entry.example);
  return yaml;
}

struct EveryFrontEnd : testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Registered, EveryFrontEnd, testing::ValuesIn(front_ends()));

TEST_P(EveryFrontEnd, GivesAnUtteranceTheSameFramesAloneAndInAnyBatch) {
  BuiltFeatures built(GetParam());
  at::Tensor samples = noise_samples(3, 16000, 1);  // what lies beyond an utterance is noise, not zero
  const std::vector<int64_t> sizes{16000, 7000, 159};
  const FeatureBatch together = built.features->compute(samples, sizes);
  for (int64_t b = 0; b < 3; ++b) {
    const FeatureBatch alone = built.features->compute(samples.slice(0, b, b + 1).slice(1, 0, sizes[b]), {sizes[b]});
    ASSERT_EQ(alone.lengths[0], built.features->num_frames(sizes[b]));
    ASSERT_GE(alone.lengths[0], 1);
    const at::Tensor row = together.x[b];
    EXPECT_LE((row.slice(0, 0, alone.lengths[0]) - alone.x[0]).abs().max().item<float>(), 1e-4);
    EXPECT_EQ(row.slice(0, alone.lengths[0]).abs().sum().item<float>(), 0);
  }
  EXPECT_EQ(together.x.size(2), built.features->channels());
}

TEST(Features, AFrameBeginsEveryHop) {
  for (const char* yaml : {"{type: log_mel}", "{type: stft}"})
    for (const int64_t samples : {159, 160, 7000, 16000})
      EXPECT_EQ(BuiltFeatures(yaml).features->num_frames(samples), samples / 160 + 1) << yaml;
}

TEST(Features, NormalisedChannelsHaveMeanZeroAndDeviationOne) {
  BuiltFeatures built("{type: log_mel}");
  const FeatureBatch batch = built.features->compute(noise_samples(2, 32000, 3), {32000, 20000});
  const at::Tensor real = batch.x[1].slice(0, 0, batch.lengths[1]);
  EXPECT_LE(real.mean(0).abs().max().item<float>(), 1e-4);
  EXPECT_LE((real.std(0, false) - 1).abs().max().item<float>(), 1e-3);
}

TEST(Features, AToneStandsInItsBin) {
  BuiltFeatures built("{type: stft, normalize: none}");
  at::Tensor samples = at::sin(at::arange(16000, at::kDouble) * (2 * M_PI * 1000 / 16000)).to(at::kFloat).unsqueeze(0);
  const FeatureBatch batch = built.features->compute(samples, {16000});
  EXPECT_EQ(batch.x[0][50].argmax().item<int64_t>(), 32);  // 1000 Hz of 31.25 Hz bins
  // A Hann window of 400 samples sums to 200; a sine puts half of that into its bin.
  EXPECT_NEAR(batch.x[0][50][32].item<float>(), std::log(100.0), 1e-3);
}

TEST(Features, TheFirstFrameIsCentredOnTheFirstSample) {
  BuiltFeatures built("{type: stft, normalize: none}");
  at::Tensor samples = at::zeros({1, 1600});
  samples[0][0] = 1;  // meets the window's middle, where Hann is 1, in frame 0 and its foot in frame 1
  const at::Tensor x = built.features->compute(samples, {1600}).x;
  EXPECT_NEAR(x[0][0].abs().max().item<float>(), 0, 1e-5);
  EXPECT_NEAR(x[0][1][0].item<float>(), std::log(0.5 - 0.5 * std::cos(2 * M_PI * 40 / 400)), 1e-4);
}

TEST(Features, TheHashNamesTheNumbers) {
  const std::string usual = BuiltFeatures("{type: log_mel}").features->hash();
  EXPECT_EQ(usual.size(), 16u);
  EXPECT_EQ(usual, BuiltFeatures("{}").features->hash());
  for (const char* other : {"{type: stft}", "{channels: 40}", "{hop_ms: 20}", "{window_ms: 20}", "{normalize: none}"})
    EXPECT_NE(usual, BuiltFeatures(other).features->hash()) << other;
}

TEST(SpecAugment, MasksAreAFunctionOfSeedStepAndId) {
  const SpecAugment augment({2, 0.2, 2, 10});
  const auto masked = [&](uint64_t step, std::vector<uint64_t> ids) {
    FeatureBatch batch{at::ones({static_cast<int64_t>(ids.size()), 200, 40}), std::vector<int64_t>(ids.size(), 150)};
    augment.apply(batch, 1, step, ids);
    return batch.x;
  };
  const at::Tensor first = masked(3, {7, 8});
  EXPECT_TRUE(first[1].equal(masked(3, {8})[0]));
  EXPECT_FALSE(first[0].equal(first[1]));
  EXPECT_FALSE(first.equal(masked(4, {7, 8})));
  // At most two spans of 30 of 150 frames and two of 10 of 40 channels.
  for (int64_t id = 0; id < 50; ++id) {
    const at::Tensor x = masked(1, {static_cast<uint64_t>(id)})[0].slice(0, 0, 150);
    EXPECT_GE(x.mean().item<float>(), (1 - 60.0 / 150) * (1 - 20.0 / 40) - 1e-5);
  }
  FeatureBatch untouched{at::ones({1, 20, 4}), {20}};
  SpecAugment(SpecAugment::Options{}).apply(untouched, 1, 1, {1});
  EXPECT_EQ(untouched.x.min().item<float>(), 1);
}

// What a device is given in place of slices.
TEST(SpecAugment, TheMaskTensorsZeroWhatTheSlicesZero) {
  const SpecAugment augment({2, 0.2, 2, 10});
  const std::vector<uint64_t> ids = {7, 8, 9};
  const auto ones = [] { return FeatureBatch{at::ones({3, 90, 40}), {90, 50, 1}}; };
  FeatureBatch sliced = ones(), masked = ones();
  augment.apply(sliced, 5, 2, ids);
  const SpecAugment::MaskTensors masks = augment.masks(masked, 5, 2, ids);
  masked.x.masked_fill_(masks.times, 0).masked_fill_(masks.channels, 0);
  EXPECT_TRUE(sliced.x.equal(masked.x));
  EXPECT_LT(sliced.x.mean().item<float>(), 1);
}

// The converted constants follow the samples' type, back and forth.
TEST(Features, FloatAndDoubleSamplesMayTakeTurns) {
  BuiltFeatures built("{type: log_mel, channels: 20}");
  const at::Tensor samples = at::sin(at::arange(3200, at::kDouble)).unsqueeze(0);
  const at::Tensor in_float = built.features->compute(samples.to(at::kFloat), {3200}).x;
  const at::Tensor in_double = built.features->compute(samples, {3200}).x;
  EXPECT_EQ(in_double.scalar_type(), at::kDouble);
  EXPECT_TRUE(in_float.equal(built.features->compute(samples.to(at::kFloat), {3200}).x));
  EXPECT_LT((in_float - in_double).abs().max().item<double>(), 1e-2);
}

}  // namespace
}  // namespace rehearse
