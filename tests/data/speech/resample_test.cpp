#include <gtest/gtest.h>

#include <cmath>

#include "audio_support.h"
#include "data/speech/audio/audio_reader.h"

namespace rehearse {
namespace {

TEST(Resample, TheSameRateChangesNothing) {
  const auto samples = testing::sine(440, 16000, 777);
  EXPECT_EQ(resample(samples, 16000, 16000), samples);
}

TEST(Resample, NothingStaysNothing) {
  EXPECT_TRUE(resample({}, 8000, 16000).empty());
}

TEST(Resample, TheLengthIsTheRoundedRatio) {
  for (int rate : {8000, 11025, 22050, 32000, 44100, 48000})
    for (size_t count : {1u, 2u, 7u, 999u, 12345u}) {
      const auto expected = std::max(1ll, std::llround(static_cast<double>(count) * 16000 / rate));
      EXPECT_EQ(resample(std::vector<float>(count, 0.1f), rate, 16000).size(), static_cast<size_t>(expected))
          << count << " samples at " << rate;
    }
}

TEST(Resample, ATonePassesUnchangedAndInPhase) {
  for (int rate : {8000, 22050, 44100, 48000}) {
    const auto resampled = resample(testing::sine(1000, rate, static_cast<size_t>(rate)), rate, 16000);
    const auto expected = testing::sine(1000, 16000, 16000);
    // The filter has no history at the ends; the high-quality recipe is good for 20 bits elsewhere.
    for (size_t i = 1000; i < 15000; ++i) ASSERT_NEAR(resampled[i], expected[i], 2e-5) << rate << " Hz, sample " << i;
  }
}

TEST(Resample, WhatIsAboveTheNewHalfRateIsRemovedNotFolded) {
  const auto resampled = resample(testing::sine(11000, 48000, 48000), 48000, 16000);
  double energy = 0;
  for (size_t i = 1000; i < 15000; ++i) energy += resampled[i] * resampled[i];
  EXPECT_LT(std::sqrt(energy / 14000), 1e-4);
}

}  // namespace
}  // namespace rehearse
