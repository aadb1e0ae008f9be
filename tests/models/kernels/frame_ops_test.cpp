#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "models/kernels/batch_norm.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

std::vector<double> noise(size_t size, uint64_t seed) {
  std::vector<double> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = 2 * RandomKey(seed).uniform(i) - 1;
  return values;
}

double activated(Activation activation, double z) {
  if (activation == Activation::kRelu) return std::max(z, 0.0);
  return activation == Activation::kSilu ? z / (1 + std::exp(-z)) : z;
}

TEST(FrameOps, LayerNormEqualsItsDefinition) {
  for (int64_t channels : {1, 7, 16, 40}) {
    const int64_t frames = 5;
    const auto x = noise(frames * channels, 1), bias = noise(channels, 2), w = noise(channels, 3),
               s = noise(channels, 4);
    for (Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu}) {
      std::vector<double> y(x.size()), mean(frames), rstd(frames);
      const FrameEpilogue epilogue{activation, Dropout::of(0.25, 77), 3};
      layer_norm_forward(
          {x.data(), bias.data(), w.data(), s.data(), mean.data(), rstd.data(), frames, channels, 1e-5, epilogue},
          y.data());
      for (int64_t t = 0; t < frames; ++t) {
        double m = 0, v = 0;
        for (int64_t c = 0; c < channels; ++c) m += (x[t * channels + c] + bias[c]) / channels;
        for (int64_t c = 0; c < channels; ++c) v += std::pow(x[t * channels + c] + bias[c] - m, 2) / channels;
        for (int64_t c = 0; c < channels; ++c) {
          const double z = (x[t * channels + c] + bias[c] - m) / std::sqrt(v + 1e-5) * w[c] + s[c];
          const bool is_kept = survives(epilogue.dropout, static_cast<uint32_t>((3 + t) * channels + c));
          EXPECT_NEAR(y[t * channels + c], is_kept ? activated(activation, z) / 0.75 : 0.0, 1e-13);
        }
      }
    }
  }
}

TEST(FrameOps, GatedRowsEqualTheirDefinition) {
  const int64_t frames = 3, channels = 21;
  const auto x = noise(63, 1), gate = noise(21, 2), residual = noise(63, 3);
  for (Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu}) {
    std::vector<double> y(63);
    gated_forward({x.data(), gate.data(), residual.data(), frames, channels, {activation, {}, 0}}, y.data());
    for (int64_t i = 0; i < 63; ++i) EXPECT_NEAR(y[i], activated(activation, x[i] * gate[i % 21] + residual[i]), 1e-14);
  }
}

TEST(FrameOps, ScaledRowsEqualTheirDefinition) {
  const int64_t frames = 3, channels = 21;
  const auto x = noise(63, 1), scale = noise(21, 2), shift = noise(21, 3);
  for (Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu}) {
    const FrameEpilogue epilogue{activation, Dropout::of(0.25, 77), 3};
    std::vector<double> y(63);
    scaled_forward({x.data(), scale.data(), shift.data(), nullptr, nullptr, frames, channels, epilogue}, y.data());
    for (int64_t i = 0; i < 63; ++i) {
      const bool is_kept = survives(epilogue.dropout, static_cast<uint32_t>(3 * channels + i));
      const double z = activated(activation, x[i] * scale[i % 21] + shift[i % 21]);
      EXPECT_NEAR(y[i], is_kept ? z / 0.75 : 0.0, 1e-14);
    }
  }
}

TEST(FrameOps, DropoutKeepsTheExpectationAndItsRate) {
  const uint64_t seed = 20240607;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const int64_t frames = 200, channels = 250;
  const std::vector<float> x(frames * channels, 1.0f);
  std::vector<float> y(x.size());
  gated_forward({x.data(), nullptr, nullptr, frames, channels, {Activation::kNone, Dropout::of(0.3, mix64(seed)), 0}},
                y.data());
  double sum = 0;
  int64_t dropped = 0;
  for (float value : y) {
    sum += value;
    dropped += value == 0;
  }
  // 50,000 draws: five standard deviations are 0.0102 of the rate.
  EXPECT_NEAR(static_cast<double>(dropped) / y.size(), 0.3, 0.0102);
  EXPECT_NEAR(sum / y.size(), 1.0, 0.0147);
}

TEST(FrameOps, DropoutMasksOfDifferentKeysAreIndependent) {
  // Agreement of two independent masks at rate 1/2 is 1/2; keys differ in a single bit, low or high.
  for (uint64_t other : {uint64_t{1}, uint64_t{1} << 40}) {
    int agreements = 0;
    for (uint32_t e = 0; e < 40000; ++e)
      agreements += survives(Dropout::of(0.5, 12345), e) == survives(Dropout::of(0.5, 12345 ^ other), e);
    EXPECT_NEAR(agreements / 40000.0, 0.5, 0.0125);
  }
}

TEST(FrameOps, NeighbouringElementsOfADropoutMaskAreUncorrelated) {
  int agreements = 0;
  for (uint32_t e = 0; e < 40000; ++e)
    agreements += survives(Dropout::of(0.5, 99), e) == survives(Dropout::of(0.5, 99), e + 1);
  EXPECT_NEAR(agreements / 40000.0, 0.5, 0.0125);
}

TEST(FrameOps, SingleAndDoublePrecisionDropTheSameElements) {
  const std::vector<double> x(300, 1.0);
  const std::vector<float> xs(300, 1.0f);
  std::vector<double> y(300);
  std::vector<float> ys(300);
  const FrameEpilogue epilogue{Activation::kNone, Dropout::of(0.5, 5), 2};
  gated_forward({x.data(), nullptr, nullptr, 10, 30, epilogue}, y.data());
  gated_forward({xs.data(), nullptr, nullptr, 10, 30, epilogue}, ys.data());
  for (int i = 0; i < 300; ++i) EXPECT_EQ(y[i], static_cast<double>(ys[i]));
}

TEST(FrameOps, NotANumberIsNeverHidden) {
  for (Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu}) {
    const std::vector<float> x(20, std::numeric_limits<float>::quiet_NaN());
    std::vector<float> y(20, 0.0f);
    gated_forward({x.data(), nullptr, nullptr, 1, 20, {activation, {}, 0}}, y.data());
    for (float value : y) EXPECT_TRUE(std::isnan(value));
  }
}

}  // namespace
}  // namespace rehearse
