// Background noise at a random signal-to-noise ratio: white, pink, or cut from recordings.
#include <array>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/audio/mean_power.h"
#include "data/speech/augment/augmentation.h"
#include "data/speech/utterance_fields.h"
#include "data/text/text_lines.h"
#include "trainer/base/registry.h"

namespace rehearse {

namespace {

std::vector<float> white(size_t length, const RandomKey& key) {
  std::vector<float> noise(length);
  for (size_t i = 0; i < length; ++i) noise[i] = static_cast<float>(key.normal(i));
  return noise;
}

// White noise through a sum of first-order low passes, corners an octave apart, each with √2 times the gain of the one
// above: the amplitude falls as 1/√f between the lowest and the highest corner.
std::vector<float> pink(size_t length, const RandomKey& key) {
  constexpr size_t kOctaves = 11;
  constexpr size_t kWarmUp = 4096;  // until the lowest corner has forgotten its start
  std::array<double, kOctaves> pole{}, gain{}, state{};
  for (size_t k = 0; k < kOctaves; ++k) {
    const double octaves_down = static_cast<double>(k);
    pole[k] = std::exp(-std::numbers::pi / 2 * std::pow(2.0, -octaves_down));
    gain[k] = std::pow(2.0, octaves_down / 2) * (1 - pole[k]);
  }
  std::vector<float> noise(length);
  for (size_t i = 0; i < kWarmUp + length; ++i) {
    const double input = key.normal(i);
    double sum = 0;
    for (size_t k = 0; k < kOctaves; ++k) {
      state[k] = pole[k] * state[k] + gain[k] * input;
      sum += state[k];
    }
    if (i >= kWarmUp) noise[i - kWarmUp] = static_cast<float>(sum);
  }
  return noise;
}

// A recording, or a part of one: duration 0 means to its end.
struct Recording {
  std::string path;
  double offset_s = 0;
  double duration_s = 0;
};

// Lines with audio_filepath, relative to the manifest's folder, and perhaps offset and duration: noise has no text, so
// read_manifest would refuse it.
std::vector<Recording> recordings_of(const std::string& manifest) {
  std::vector<Recording> recordings;
  TextLines lines(manifest);
  for (std::string line; lines.next(line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const UtteranceFields fields(lines.where(), line, FieldRules::kOwn);
    recordings.push_back({(fs::path(manifest).parent_path() / fields.path("audio_filepath")).string(),
                          fields.seconds("offset").value_or(0), fields.seconds("duration").value_or(0)});
  }
  if (recordings.empty())
    throw DataError(manifest,
                    ": expected recordings of noise, one a line; found none; leave `manifest` out for"
                    " synthetic noise");
  return recordings;
}

// A duration that is that of the whole file but for rounding cuts nothing off.
std::vector<float> samples_of(const Recording& one, const AudioReaders& readers, int rate_hz) {
  constexpr double kRounded_s = 0.05;
  if (one.offset_s > 0) return readers.read(one.path, one.offset_s, one.duration_s, rate_hz);
  std::vector<float> samples = readers.read(one.path, 0, 0, rate_hz);
  const auto wanted = static_cast<size_t>(std::llround(one.duration_s * rate_hz));
  if (wanted > 0 && wanted + static_cast<size_t>(kRounded_s * rate_hz) < samples.size()) samples.resize(wanted);
  return samples;
}

// Of places in recordings that hold silence where it was cut.
constexpr uint64_t kMostAttempts = 20;

class Noise final : public Augmentation {
 public:
  struct Options {
    std::string color = "white";     // of synthetic noise, used when there are no recordings
    std::vector<std::string> files;  // recordings, relative to the working directory
    std::string manifest;            // more recordings: JSON Lines with audio_filepath, offset, duration
    double min_snr_db = 10;
    double max_snr_db = 30;
    double share = 1;  // probability that an utterance is changed
    static Options from(ConfigNode& node) {
      Options options;
      options.color = node.choice("color", options.color, {"white", "pink"});
      options.files = node.texts("files", options.files);
      options.manifest = node.text("manifest", options.manifest);
      options.min_snr_db = node.number("min_snr_db", options.min_snr_db, {-20, 100});
      options.max_snr_db = node.number("max_snr_db", options.max_snr_db, {-20, 100});
      options.share = node.number("share", options.share, {0, 1});
      if (options.min_snr_db > options.max_snr_db)
        node.fail("min_snr_db",
                  concat("expected at most max_snr_db (", options.max_snr_db, "); found ", options.min_snr_db));
      return options;
    }
  };
  static constexpr const char* kExample = "{type: noise, color: pink, min_snr_db: 10, max_snr_db: 30, share: 0.5}";

  // Recordings are decoded here, once, and kept: a broken one fails before training.
  Noise(const Options& options, const Context& context) : options_(options) {
    std::vector<Recording> recordings;
    for (const std::string& file : options.files) recordings.push_back({file});
    if (!options.manifest.empty())
      for (Recording& one : recordings_of(options.manifest)) recordings.push_back(std::move(one));
    if (recordings.empty()) return;
    const AudioReaders readers;
    for (const Recording& one : recordings) {
      recordings_.push_back(samples_of(one, readers, context.sample_rate_hz));
      if (mean_power(recordings_.back()) == 0)
        throw DataError(one.path, ": expected noise; found silence; take the file out of the list");
    }
  }

  void apply(std::vector<float>& samples, const RandomKey& key) const override {
    if (key.uniform(0) >= options_.share) return;
    const double signal = mean_power(samples);
    if (signal == 0) return;  // no level of noise has a ratio to silence
    const double snr_db = options_.min_snr_db + (options_.max_snr_db - options_.min_snr_db) * key.uniform(1);
    std::vector<float> noise = make(samples.size(), key);
    double power = mean_power(noise);
    for (uint64_t attempt = 1; power == 0 && attempt <= kMostAttempts; ++attempt) {  // a silent stretch of a recording
      noise = make(samples.size(), key.with("again").with(attempt));
      power = mean_power(noise);
    }
    if (power == 0) return;
    const auto factor = static_cast<float>(std::sqrt(signal / (power * std::pow(10.0, snr_db / 10))));
    for (size_t i = 0; i < samples.size(); ++i) samples[i] += factor * noise[i];
  }

 private:
  std::vector<float> make(size_t length, const RandomKey& key) const {
    if (!recordings_.empty()) return cut(length, key);
    const RandomKey noise_key = key.with("noise");
    return options_.color == "pink" ? pink(length, noise_key) : white(length, noise_key);
  }

  // From a random place of a random recording, starting over at its end.
  std::vector<float> cut(size_t length, const RandomKey& key) const {
    const std::vector<float>& recording = recordings_[key.below(recordings_.size(), 2)];
    size_t position = key.below(recording.size(), 3);
    std::vector<float> noise(length);
    for (float& sample : noise) {
      sample = recording[position];
      position = position + 1 == recording.size() ? 0 : position + 1;
    }
    return noise;
  }

  Options options_;
  std::vector<std::vector<float>> recordings_;
};

REHEARSE_REGISTER(Augmentation, "noise", Noise);

}  // namespace

}  // namespace rehearse
