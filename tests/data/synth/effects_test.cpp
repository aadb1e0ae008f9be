#include "data/speech/synth/effects.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace rehearse::synth {
namespace {

constexpr int kRate = 16000;

Samples tone(double hz, size_t num_samples = kRate) {
  Samples samples(num_samples);
  for (size_t i = 0; i < num_samples; ++i)
    samples[i] = static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / kRate));
  return samples;
}

double decibels(double power_ratio) {
  return 10 * std::log10(power_ratio);
}

// What the filter does to a tone once the start has died away.
double band_gain_db(double hz, double low_hz, double high_hz) {
  Samples in = tone(hz, 2 * kRate), out = in;
  band_pass(out, kRate, low_hz, high_hz);
  in.erase(in.begin(), in.begin() + kRate);
  out.erase(out.begin(), out.begin() + kRate);
  return decibels(mean_power(out) / mean_power(in));
}

TEST(MixAtSnr, HitsTheRatioWithinATenthOfADecibel) {
  const RandomKey key(11);
  for (double snr_db : {-5.0, 5.0, 10.0, 25.0}) {
    const Samples clean = tone(440);
    for (const Samples& noise : {white_noise(kRate, key), car_noise(kRate, kRate, key), white_noise(1000, key)}) {
      Samples mixed = clean;
      mix_at_snr(mixed, noise, snr_db);
      Samples added(mixed.size());
      for (size_t i = 0; i < mixed.size(); ++i) added[i] = mixed[i] - clean[i];
      EXPECT_NEAR(decibels(mean_power(clean) / mean_power(added)), snr_db, 0.1);
    }
  }
}

TEST(MixAtSnr, LeavesSpeechAloneWhenThereIsNoNoise) {
  const Samples clean = tone(440);
  Samples mixed = clean;
  mix_at_snr(mixed, {}, 5);
  mix_at_snr(mixed, Samples(100), 5);
  EXPECT_EQ(mixed, clean);
}

TEST(SetLevel, GivesTheRootMeanSquareAskedFor) {
  Samples samples = tone(300);
  set_level(samples, -23);
  EXPECT_NEAR(decibels(mean_power(samples)), -23, 0.01);
  Samples silence(10);
  set_level(silence, -23);
  EXPECT_EQ(silence, Samples(10));
}

TEST(LimitPeak, OnlyEverScalesDown) {
  Samples loud = {0.5f, -2.0f};
  limit_peak(loud, 0.9f);
  EXPECT_FLOAT_EQ(loud[1], -0.9f);
  EXPECT_FLOAT_EQ(loud[0], 0.225f);
  Samples soft = {0.1f, -0.2f};
  limit_peak(soft, 0.9f);
  EXPECT_EQ(soft, (Samples{0.1f, -0.2f}));
}

TEST(BandPass, PassesTheBandAndHalvesPowerAtItsEdges) {
  EXPECT_NEAR(band_gain_db(1000, 300, 3400), 0, 0.2);
  EXPECT_NEAR(band_gain_db(300, 300, 3400), -3.01, 0.2);
  EXPECT_NEAR(band_gain_db(3400, 300, 3400), -3.01, 0.2);
}

TEST(BandPass, FallsByTwentyFourDecibelsAnOctave) {
  EXPECT_LT(band_gain_db(150, 300, 3400), -23);
  EXPECT_LT(band_gain_db(75, 300, 3400), -46);
  EXPECT_LT(band_gain_db(6800, 300, 3400), -24);
}

// The decision and output values of ITU-T G.711 table 2a, for positive samples: end point, number of steps, step size.
TEST(MuLaw, AgreesWithTheTableOfG711) {
  struct Segment {
    int start, step;
  };
  constexpr Segment kSegments[] = {{31, 4}, {95, 8}, {223, 16}, {479, 32}, {991, 64}, {2015, 128}, {4063, 256}};
  // Characters count down from 0xFF; the first sixteen intervals are 0-1 and then 2 wide.
  EXPECT_EQ(mu_law_encode(0), 0xFF);
  EXPECT_EQ(mu_law_encode(1 << 2), 0xFE);
  EXPECT_EQ(mu_law_encode(30 << 2), 0xF0);
  EXPECT_EQ(mu_law_decode(0xFF), 0);
  EXPECT_EQ(mu_law_decode(0xFE), 2 << 2);
  EXPECT_EQ(mu_law_decode(0xF0), 30 << 2);
  for (int segment = 0; segment < 7; ++segment) {
    for (int step = 0; step < 16; ++step) {
      const auto [start, width] = kSegments[segment];
      const int low = start + step * width;
      const auto code = static_cast<uint8_t>(0xFF - 16 * (segment + 1) - step);
      EXPECT_EQ(mu_law_encode(static_cast<int16_t>(low << 2)), code) << low;
      EXPECT_EQ(mu_law_encode(static_cast<int16_t>((low + width - 1) << 2)), code) << low;
      EXPECT_EQ(mu_law_decode(code), (low + width / 2) << 2) << low;
    }
  }
}

TEST(MuLaw, IsSymmetricAndKeepsItsOwnValues) {
  for (int code = 0; code < 256; ++code) {
    const int16_t value = mu_law_decode(static_cast<uint8_t>(code));
    EXPECT_EQ(mu_law_decode(static_cast<uint8_t>(code ^ 0x80)), -value);
    EXPECT_EQ(mu_law_decode(mu_law_encode(value)), value);
  }
  EXPECT_EQ(mu_law_encode(32767), 0x80);
  EXPECT_EQ(mu_law_encode(-32768), 0x00);
}

TEST(Compress, LowersLoudPartsOnly) {
  Samples loud = tone(500), soft = tone(500);
  set_level(loud, -6);
  set_level(soft, -40);
  const double loud_before = mean_power(loud);
  const Samples soft_before = soft;
  compress(loud, kRate, -26, 3);
  compress(soft, kRate, -26, 3);
  EXPECT_LT(decibels(mean_power(loud) / loud_before), -8);
  EXPECT_EQ(soft, soft_before);
}

TEST(RoomEcho, KeepsTheDirectSoundAndTheRatioOfItsReflections) {
  const RoomEcho echo = RoomEcho::of(kRate, 0.15, 5, RandomKey(3));
  Samples response(kRate / 4);
  response[0] = 1;
  echo.apply(response);
  EXPECT_FLOAT_EQ(response[0], 1);
  double reflected = 0, late = 0;
  for (size_t i = 1; i < response.size(); ++i) reflected += response[i] * response[i];
  for (size_t i = kRate / 10; i < response.size(); ++i) late += response[i] * response[i];
  EXPECT_NEAR(decibels(1 / reflected), 5, 0.1);
  EXPECT_LT(decibels(late / reflected), -30);
}

TEST(CarNoise, HasMostOfItsPowerAtLowFrequencies) {
  const Samples noise = car_noise(2 * kRate, kRate, RandomKey(5));
  Samples high = noise;
  band_pass(high, kRate, 1000, 7000);
  EXPECT_LT(decibels(mean_power(high) / mean_power(noise)), -6);
}

TEST(Babble, MixesTalkersAtEqualPower) {
  const Samples quiet(1000, 0.001f), loud(1000, 0.5f);
  const Samples one = babble(4000, {quiet}, 1, RandomKey(1));
  const Samples other = babble(4000, {loud}, 1, RandomKey(1));
  EXPECT_NEAR(mean_power(one), mean_power(other), 1e-5);
  EXPECT_GT(mean_power(babble(4000, {quiet, loud}, 4, RandomKey(1))), 10);
}

TEST(Noises, AreFunctionsOfTheirKey) {
  const RandomKey key(7), other(8);
  EXPECT_EQ(white_noise(500, key), white_noise(500, key));
  EXPECT_NE(white_noise(500, key), white_noise(500, other));
  EXPECT_EQ(music_hum(kRate, kRate, key), music_hum(kRate, kRate, key));
  EXPECT_NE(music_hum(kRate, kRate, key), music_hum(kRate, kRate, other));
  EXPECT_EQ(car_noise(500, kRate, key), car_noise(500, kRate, key));
  EXPECT_NE(car_noise(500, kRate, key), car_noise(500, kRate, other));
}

}  // namespace
}  // namespace rehearse::synth
