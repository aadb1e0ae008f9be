#include "tests/data/speech/tone_reader.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "data/speech/audio/audio_reader.h"
#include "trainer/base/registry.h"

namespace rehearse {

namespace {

constexpr int kRateHz = 16000;
const std::string kPrefix = "tone:";

class ToneReader final : public AudioReader {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: a_tone}";
  ToneReader(const Options&, const Context&) {}

  bool accepts(const std::string& path) const override { return path.rfind(kPrefix, 0) == 0; }

  AudioClip read(const std::string& path, const AudioPart& part) const override {
    ++num_tone_reads();
    const std::string what = path.substr(kPrefix.size());
    const auto length = static_cast<size_t>(std::llround((part.duration_s > 0 ? part.duration_s : 1.0) * kRateHz));
    if (what == "broken") throw DataError(path, ": expected audio; found noise; replace the file");
    if (what == "silent") return {std::vector<float>(length, 0.0f), kRateHz};
    if (what == "truncated") return {tone(440, length / 4), kRateHz};
    return {tone(std::stod(what), length), kRateHz};
  }

  double duration_s(const std::string&) const override { return 1.0; }
};

REHEARSE_REGISTER(AudioReader, "a_tone", ToneReader);

TEST(ToneReader, IsFoundAmongTheReaders) {
  const std::vector<float> samples = AudioReaders().read("tone:100", 0, 0.5, kRateHz);
  ASSERT_EQ(samples.size(), 8000u);
  EXPECT_NEAR(samples[40], 0.5f, 1e-6f);  // a quarter of a period
}

}  // namespace

std::vector<float> tone(double frequency_hz, size_t num_samples) {
  std::vector<float> samples(num_samples);
  for (size_t i = 0; i < num_samples; ++i)
    samples[i] =
        static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * frequency_hz * static_cast<double>(i) / kRateHz));
  return samples;
}

std::atomic<int>& num_tone_reads() {
  static std::atomic<int> count{0};
  return count;
}

Utterance tone_utterance(const std::string& domain, int number, double duration_s, const std::string& text,
                         const std::string& path) {
  Utterance utterance;
  utterance.audio_path = path.empty() ? concat(kPrefix, 200 + 10 * number) : path;
  utterance.domain = domain;
  utterance.duration_s = duration_s;
  utterance.text = text;
  utterance.id = stable_utterance_id(domain, concat(number), 0, 0);
  return utterance;
}

}  // namespace rehearse
