// Background noise at a random signal-to-noise ratio: white, pink, or cut from recordings.
#include <array>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "data/augment/augmentation.h"
#include "data/mean_power.h"
#include "data/readers/audio_reader.h"
#include "data/text_lines.h"
#include "data/utterance_fields.h"
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

// The audio_filepath of every line, relative to the manifest's folder: noise has no text, so read_manifest would refuse
// it.
std::vector<std::string> files_of(const std::string& manifest) {
  std::vector<std::string> files;
  TextLines lines(manifest);
  for (std::string line; lines.next(line);) {
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    const UtteranceFields fields(lines.where(), line, FieldRules::kOwn);
    files.push_back((fs::path(manifest).parent_path() / fields.path("audio_filepath")).string());
  }
  return files;
}

class Noise final : public Augmentation {
 public:
  struct Options {
    std::string color = "white";     // of synthetic noise, used when there are no recordings
    std::vector<std::string> files;  // recordings, relative to the working directory
    std::string manifest;            // more recordings: JSON Lines with audio_filepath
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
    std::vector<std::string> files = options.files;
    if (!options.manifest.empty())
      for (std::string& file : files_of(options.manifest)) files.push_back(std::move(file));
    if (files.empty()) return;
    const AudioReaders readers;
    for (const std::string& file : files) {
      recordings_.push_back(readers.read(file, 0, 0, context.sample_rate_hz));
      if (mean_power(recordings_.back()) == 0)
        throw DataError(file, ": expected noise; found silence; take the file out of the list");
    }
  }

  void apply(std::vector<float>& samples, const RandomKey& key) const override {
    if (key.uniform(0) >= options_.share) return;
    const double signal = mean_power(samples);
    if (signal == 0) return;  // no level of noise has a ratio to silence
    const double snr_db = options_.min_snr_db + (options_.max_snr_db - options_.min_snr_db) * key.uniform(1);
    const std::vector<float> noise = make(samples.size(), key);
    const double power = mean_power(noise);
    if (power == 0) return;  // a silent stretch of a recording
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
