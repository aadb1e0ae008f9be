#include "data/speech/synth/effects.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/speech/audio/sound_file.h"
#include "trainer/base/error.h"

namespace rehearse::synth {

namespace {

constexpr double kTau = 2 * std::numbers::pi;
// Q of the two sections of a fourth-order Butterworth filter: 1 / (2 cos(π/8)) and 1 / (2 cos(3π/8)).
constexpr double kButterworth4[] = {0.54119610014619698, 1.3065629648763766};

double from_db(double db) {
  return std::pow(10.0, db / 20);
}

void scale(Samples& samples, double factor) {
  for (float& sample : samples) sample = static_cast<float>(sample * factor);
}

}  // namespace

void set_level(Samples& samples, double level_db) {
  const double power = mean_power(samples);
  if (power > 0) scale(samples, from_db(level_db) / std::sqrt(power));
}

void limit_peak(Samples& samples, float peak) {
  float highest = 0;
  for (float sample : samples) highest = std::max(highest, std::abs(sample));
  if (highest > peak) scale(samples, peak / highest);
}

void mix_at_snr(Samples& speech, const Samples& noise, double snr_db) {
  if (noise.empty() || speech.empty()) return;
  Samples fitted(speech.size());
  for (size_t i = 0; i < fitted.size(); ++i) fitted[i] = noise[i % noise.size()];
  const double noise_power = mean_power(fitted);
  if (noise_power == 0) return;
  const double gain = std::sqrt(mean_power(speech) / noise_power) / from_db(snr_db);
  for (size_t i = 0; i < fitted.size(); ++i) speech[i] += static_cast<float>(gain * fitted[i]);
}

Biquad Biquad::low_pass(int sample_rate_hz, double cutoff_hz, double q) {
  const double w = kTau * cutoff_hz / sample_rate_hz;
  const double alpha = std::sin(w) / (2 * q);
  Biquad filter;
  filter.b1_ = (1 - std::cos(w)) / (1 + alpha);
  filter.b0_ = filter.b2_ = filter.b1_ / 2;
  filter.a1_ = -2 * std::cos(w) / (1 + alpha);
  filter.a2_ = (1 - alpha) / (1 + alpha);
  return filter;
}

Biquad Biquad::high_pass(int sample_rate_hz, double cutoff_hz, double q) {
  const double w = kTau * cutoff_hz / sample_rate_hz;
  const double alpha = std::sin(w) / (2 * q);
  Biquad filter;
  filter.b1_ = -(1 + std::cos(w)) / (1 + alpha);
  filter.b0_ = filter.b2_ = -filter.b1_ / 2;
  filter.a1_ = -2 * std::cos(w) / (1 + alpha);
  filter.a2_ = (1 - alpha) / (1 + alpha);
  return filter;
}

void Biquad::apply(Samples& samples) const {
  double s1 = 0, s2 = 0;
  for (float& sample : samples) {
    const double in = sample;
    const double out = b0_ * in + s1;
    s1 = b1_ * in - a1_ * out + s2;
    s2 = b2_ * in - a2_ * out;
    sample = static_cast<float>(out);
  }
}

void band_pass(Samples& samples, int sample_rate_hz, double low_hz, double high_hz) {
  REHEARSE_CHECK(0 < low_hz && low_hz < high_hz && 2 * high_hz < sample_rate_hz, "a band lies below the Nyquist rate");
  for (double q : kButterworth4) {
    Biquad::high_pass(sample_rate_hz, low_hz, q).apply(samples);
    Biquad::low_pass(sample_rate_hz, high_hz, q).apply(samples);
  }
}

uint8_t mu_law_encode(int16_t sample) {
  // G.711 section 3.2 on 14 bits: magnitude plus bias 33, segment = position of its leading bit.
  constexpr int kBias = 33;
  constexpr int kClip = 8191;
  const bool is_negative = sample < 0;
  const int magnitude = std::min((is_negative ? -static_cast<int>(sample) : sample) >> 2, kClip - kBias) + kBias;
  int segment = 0;
  while (segment < 7 && (magnitude >> (segment + 6)) != 0) ++segment;
  const int step = (magnitude >> (segment + 1)) & 0x0F;
  return static_cast<uint8_t>(~((is_negative ? 0x80 : 0) | (segment << 4) | step));
}

int16_t mu_law_decode(uint8_t code) {
  const int inverted = ~code & 0xFF;
  const int segment = (inverted >> 4) & 7;
  const int magnitude = ((((inverted & 0x0F) << 1) + 33) << segment) - 33;
  const int sample = magnitude << 2;
  return static_cast<int16_t>((inverted & 0x80) != 0 ? -sample : sample);
}

void mu_law(Samples& samples) {
  std::vector<int16_t> quantised = to_int16(samples);
  for (int16_t& sample : quantised) sample = mu_law_decode(mu_law_encode(sample));
  samples = from_int16(quantised);
}

void compress(Samples& samples, int sample_rate_hz, double threshold_db, double ratio) {
  const double attack = std::exp(-1.0 / (0.005 * sample_rate_hz));
  const double release = std::exp(-1.0 / (0.080 * sample_rate_hz));
  const double threshold = from_db(threshold_db);
  double envelope = 0;
  for (float& sample : samples) {
    const double level = std::abs(sample);
    const double memory = level > envelope ? attack : release;
    envelope = memory * envelope + (1 - memory) * level;
    if (envelope > threshold) sample = static_cast<float>(sample * std::pow(envelope / threshold, 1 / ratio - 1));
  }
}

Samples white_noise(size_t num_samples, const RandomKey& key) {
  Samples noise(num_samples);
  for (size_t i = 0; i < num_samples; ++i) noise[i] = static_cast<float>(2 * key.uniform(i) - 1);
  return noise;
}

Samples car_noise(size_t num_samples, int sample_rate_hz, const RandomKey& key) {
  Samples rumble = white_noise(num_samples, key.with("rumble"));
  Biquad::low_pass(sample_rate_hz, 200, 0.7).apply(rumble);
  Biquad::high_pass(sample_rate_hz, 40, 0.7).apply(rumble);
  set_level(rumble, -20);
  Samples road = white_noise(num_samples, key.with("road"));
  Biquad::low_pass(sample_rate_hz, 1500, 0.7).apply(road);
  set_level(road, -27);
  const double engine_hz = 60 + 60 * key.uniform(0);
  const double drift = 0.05 + 0.1 * key.uniform(1);
  double phase = 0;
  for (size_t i = 0; i < num_samples; ++i) {
    const double t = static_cast<double>(i) / sample_rate_hz;
    phase += kTau * engine_hz * (1 + drift * std::sin(0.5 * t)) / sample_rate_hz;
    const double engine = 0.06 * std::sin(phase) + 0.03 * std::sin(2 * phase) + 0.02 * std::sin(3 * phase);
    rumble[i] += road[i] + static_cast<float>(engine);
  }
  return rumble;
}

Samples music_hum(size_t num_samples, int sample_rate_hz, const RandomKey& key) {
  constexpr double kChords[][3] = {{0, 4, 7}, {5, 9, 12}, {7, 11, 14}, {-3, 0, 4}};  // semitones
  const double root_hz = 110 * std::exp2(key.uniform(0));
  const double chord_s = 0.8 + 0.6 * key.uniform(1);
  const size_t chord_samples = static_cast<size_t>(chord_s * sample_rate_hz);
  Samples hum(num_samples);
  for (size_t start = 0; start < num_samples; start += chord_samples) {
    const auto& chord = kChords[key.below(std::size(kChords), 2 + start / chord_samples)];
    const size_t end = std::min(num_samples, start + chord_samples);
    for (double semitones : chord) {
      const double step = kTau * root_hz * std::exp2(semitones / 12) / sample_rate_hz;
      for (size_t i = start; i < end; ++i) {
        const double phase = step * static_cast<double>(i - start);
        const double fade =
            std::sin(std::numbers::pi * static_cast<double>(i - start) / static_cast<double>(chord_samples));
        hum[i] += static_cast<float>(fade * (std::sin(phase) + 0.4 * std::sin(2 * phase)));
      }
    }
  }
  return hum;
}

Samples babble(size_t num_samples, const std::vector<Samples>& clips, int num_talkers, const RandomKey& key) {
  REHEARSE_CHECK(!clips.empty(), "babble is made of clips");
  Samples sum(num_samples);
  for (int talker = 0; talker < num_talkers; ++talker) {
    const RandomKey draw = key.with(static_cast<uint64_t>(talker));
    const Samples& clip = clips[draw.below(clips.size(), 0)];
    const double power = mean_power(clip);
    REHEARSE_CHECK(power > 0, "babble clips are not silent");
    const float gain = static_cast<float>(1 / std::sqrt(power));
    const size_t start = draw.below(clip.size(), 1);
    for (size_t i = 0; i < num_samples; ++i) sum[i] += gain * clip[(start + i) % clip.size()];
  }
  return sum;
}

RoomEcho RoomEcho::of(int sample_rate_hz, double reverberation_s, double direct_to_reverb_db, const RandomKey& key) {
  // Velvet noise: one pulse of random sign in each cell of a grid sounds like a dense tail at a fraction of the taps
  // (Karjalainen, Järveläinen: Reverberation modeling using velvet noise, AES 2007).
  constexpr double kPulsesPerSecond = 1500;
  const double cell = sample_rate_hz / kPulsesPerSecond;
  const double decay = std::log(1000.0) / (reverberation_s * sample_rate_hz);
  RoomEcho echo;
  echo.taps.push_back({0, 1});
  double power = 0;
  const size_t num_pulses = static_cast<size_t>(reverberation_s * kPulsesPerSecond);
  for (size_t pulse = 1; pulse <= num_pulses; ++pulse) {
    const double position = (static_cast<double>(pulse) + key.uniform(2 * pulse)) * cell;
    const double sign = key.bits(2 * pulse + 1) & 1 ? 1 : -1;
    const double gain = sign * std::exp(-decay * position);
    echo.taps.push_back({static_cast<size_t>(position), static_cast<float>(gain)});
    power += gain * gain;
  }
  const double scale_by = power > 0 ? from_db(-direct_to_reverb_db) / std::sqrt(power) : 0;
  for (size_t i = 1; i < echo.taps.size(); ++i) echo.taps[i].gain *= static_cast<float>(scale_by);
  return echo;
}

void RoomEcho::apply(Samples& samples) const {
  Samples out(samples.size());
  for (const Tap& tap : taps)
    for (size_t i = tap.delay; i < out.size(); ++i) out[i] += tap.gain * samples[i - tap.delay];
  samples = std::move(out);
}

}  // namespace rehearse::synth
