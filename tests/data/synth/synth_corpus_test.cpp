#include "data/speech/synth/synth_corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/speech/audio/sound_file.h"
#include "data/speech/manifest.h"
#include "trainer/base/error.h"

namespace rehearse::synth {
namespace {

using ::testing::HasSubstr;

std::string failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Espeak, AbsenceNamesThePackageToInstall) {
  EXPECT_THAT(failure_of([] { Espeak("espeak-ng-that-is-not-there"); }), HasSubstr("install the package espeak-ng"));
}

TEST(Espeak, SpeakerIsTheVariantWhateverTheAccent) {
  EXPECT_EQ(speaker_of("en-us+m3"), "m3");
  EXPECT_EQ(speaker_of("en-gb+m3"), "m3");
  EXPECT_EQ(speaker_of("en-us"), "en-us");
}

TEST(Split, EightOfTenSentencesAreForTraining) {
  int counts[3] = {};
  for (int i = 0; i < 10000; ++i) ++counts[static_cast<int>(split_of("sentence " + std::to_string(i)))];
  EXPECT_NEAR(counts[0], 8000, 200);
  EXPECT_NEAR(counts[1], 1000, 150);
  EXPECT_NEAR(counts[2], 1000, 150);
}

// A tiny corpus of all domains, made once; every test that needs the program is skipped aloud without it.
class SynthCorpus : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    try {
      espeak_.emplace();
    } catch (const ConfigError& error) {
      std::cerr << "NOT RUN: tests of the synthetic corpus: " << error.what() << "\n";
      return;
    }
    folder_ = fs::temp_directory_path() / ("rehearse_synth_test_" + std::to_string(::getpid()));
    write_synth_corpus(tiny(), *espeak_, folder_ / "one", 2, *log());
  }
  static void TearDownTestSuite() {
    if (!folder_.empty()) fs::remove_all(folder_);
    espeak_.reset();
  }
  void SetUp() override {
    if (!espeak_) GTEST_SKIP() << "espeak-ng is not installed";
  }

  static std::unique_ptr<Log> log() { return std::make_unique<Log>(Log::Options{.file = "", .to_terminal = false}); }
  static SynthOptions tiny(const std::string& domains = "{}") {
    Config config = Config::parse(
        "synth: {train_utterances: 3, valid_utterances: 1, test_utterances: 2, domains: " + domains + "}");
    ConfigNode section = config.root().child("synth");
    return SynthOptions::from(section);
  }
  static std::vector<Utterance> set(const std::string& corpus, const std::string& domain, const char* split) {
    return read_manifest((folder_ / corpus / domain / (std::string(split) + ".jsonl")).string());
  }

  static std::optional<Espeak> espeak_;
  static fs::path folder_;
};
std::optional<Espeak> SynthCorpus::espeak_;
fs::path SynthCorpus::folder_;

TEST_F(SynthCorpus, HasTheSetsThatWereAskedFor) {
  for (const Domain& domain : all_domains()) {
    EXPECT_EQ(set("one", domain.name, "train").size(), 3u);
    EXPECT_EQ(set("one", domain.name, "valid").size(), 1u);
    EXPECT_EQ(set("one", domain.name, "test").size(), 2u);
  }
}

TEST_F(SynthCorpus, FilesHaveTheRateAndLengthTheirManifestsPromise) {
  for (const Domain& domain : all_domains()) {
    for (const Utterance& utterance : set("one", domain.name, "train")) {
      SoundFile file(utterance.audio_path);
      EXPECT_EQ(file.sample_rate_hz(), domain.sample_rate_hz) << utterance.audio_path;
      EXPECT_EQ(file.num_channels(), 1);
      EXPECT_NEAR(static_cast<double>(file.count_frames()) / domain.sample_rate_hz, utterance.duration_s, 1e-4);
      EXPECT_EQ(fs::path(utterance.audio_path).extension(), std::string(".") + extension_of(domain.codec));
      EXPECT_GE(utterance.duration_s, 1);
      EXPECT_LE(utterance.duration_s, 6);
      EXPECT_EQ(utterance.domain, domain.name);
    }
  }
}

TEST_F(SynthCorpus, SoundIsNeitherSilentNorClipped) {
  for (const Domain& domain : all_domains()) {
    for (const Utterance& utterance : set("one", domain.name, "test")) {
      const std::vector<float> samples = SoundFile(utterance.audio_path).read_mono(1 << 20);
      EXPECT_NEAR(10 * std::log10(mean_power(samples)), -24, 6) << utterance.audio_path;
      for (float sample : samples) ASSERT_LT(std::abs(sample), 1.0f);
    }
  }
}

TEST_F(SynthCorpus, PhoneFilesHoldValuesOfTheMuLawInTheTelephoneBand) {
  for (const Utterance& utterance : set("one", "phone", "train")) {
    const Samples samples = SoundFile(utterance.audio_path).read_mono(1 << 20);
    for (int16_t value : to_int16(samples)) ASSERT_EQ(mu_law_decode(mu_law_encode(value)), value);
    Samples inside = samples;
    band_pass(inside, 8000, 200, 3800);
    EXPECT_GT(mean_power(inside) / mean_power(samples), 0.9);
  }
}

TEST_F(SynthCorpus, NoTestSentenceOrSpeakerOccursInTrainingOrValidation) {
  std::set<std::string> sentences, speakers;
  for (const Domain& domain : all_domains()) {
    for (const char* split : {"train", "valid"}) {
      for (const Utterance& utterance : set("one", domain.name, split)) {
        sentences.insert(utterance.text);
        speakers.insert(speaker_of(utterance.speaker));
      }
    }
  }
  for (const Domain& domain : all_domains()) {
    for (const Utterance& utterance : set("one", domain.name, "test")) {
      EXPECT_FALSE(sentences.contains(utterance.text)) << utterance.text;
      EXPECT_FALSE(speakers.contains(speaker_of(utterance.speaker))) << utterance.speaker;
    }
  }
}

TEST_F(SynthCorpus, IsAFunctionOfTheSeedWhateverTheNumberOfJobs) {
  write_synth_corpus(tiny(), *espeak_, folder_ / "again", 1, *log());
  for (const Domain& domain : all_domains()) {
    for (const char* split : {"train", "valid", "test"}) {
      const std::string manifest = domain.name + "/" + split + ".jsonl";
      EXPECT_EQ(read_text(folder_ / "one" / manifest), read_text(folder_ / "again" / manifest));
      const auto one = set("one", domain.name, split), again = set("again", domain.name, split);
      ASSERT_EQ(one.size(), again.size());
      for (size_t i = 0; i < one.size(); ++i)
        EXPECT_EQ(SoundFile(one[i].audio_path).read_mono(1 << 20), SoundFile(again[i].audio_path).read_mono(1 << 20));
    }
  }
}

TEST_F(SynthCorpus, AnotherSeedSaysOtherSentences) {
  SynthOptions options = tiny("{studio: {}}");
  options.seed = 2;
  write_synth_corpus(options, *espeak_, folder_ / "other", 2, *log());
  EXPECT_NE(read_text(folder_ / "one" / "studio" / "train.jsonl"),
            read_text(folder_ / "other" / "studio" / "train.jsonl"));
}

TEST_F(SynthCorpus, SpecStatesSeedCountsWordsAndProgram) {
  const auto spec = nlohmann::json::parse(read_text(folder_ / "one" / "spec.json"));
  EXPECT_EQ(spec["format"], "rehearse-synth");
  EXPECT_EQ(spec["version"], 1);
  EXPECT_EQ(spec["seed"], 1);
  EXPECT_EQ(spec["espeak_ng"], espeak_->version());
  EXPECT_EQ(spec["sets"]["drive"]["train"]["utterances"], 3);
  EXPECT_GT(spec["word_types"], 50);
}

TEST_F(SynthCorpus, FolderWithTheSameCorpusIsLeftAndAnotherIsRefused) {
  SynthOptions options = tiny();
  EXPECT_TRUE(write_synth_corpus(options, *espeak_, folder_ / "one", 2, *log()).was_complete);
  options.seed = 9;
  EXPECT_THAT(failure_of([&] { write_synth_corpus(options, *espeak_, folder_ / "one", 2, *log()); }),
              HasSubstr("found another one"));
}

TEST_F(SynthCorpus, TrainSecondsAreReachedWithoutMuchExcess) {
  SynthOptions options = tiny("{studio: {train_utterances: 0, train_seconds: 20}}");
  const SynthReport report = write_synth_corpus(options, *espeak_, folder_ / "seconds", 2, *log());
  EXPECT_GE(report.sets.at("studio").at("train").seconds, 20);
  EXPECT_LE(report.sets.at("studio").at("train").seconds, 26);
}

TEST_F(SynthCorpus, UnknownVoicesAreErrorsBeforeAnythingIsSpoken) {
  const SynthOptions options = tiny("{studio: {voices: [en-us+nobody]}}");
  EXPECT_THAT(failure_of([&] { write_synth_corpus(options, *espeak_, folder_ / "bad", 1, *log()); }),
              HasSubstr("expected a variant"));
  EXPECT_FALSE(fs::exists(folder_ / "bad"));
  EXPECT_THAT(failure_of([] { espeak_->speak({"xx-yy+m1", 50, 160}, "hello"); }), HasSubstr("expected a voice"));
}

}  // namespace
}  // namespace rehearse::synth
