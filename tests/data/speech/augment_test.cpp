#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data/speech/audio/sound_file.h"
#include "data/speech/augment/augmentation.h"
#include "tests/data/speech/tone_reader.h"
#include "tests/data/text/text_support.h"
#include "trainer/base/files.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

std::unique_ptr<Augmentation> make(const std::string& yaml) {
  Config config = Config::parse(yaml);
  ConfigNode node = config.root();
  auto augmentation = Registry<Augmentation>::instance().create(node, {});
  node.expect_all_read();
  return augmentation;
}

std::vector<float> applied(const std::string& yaml, std::vector<float> samples, const RandomKey& key = RandomKey(1)) {
  make(yaml)->apply(samples, key);
  return samples;
}

double power(const std::vector<float>& samples) {
  double sum = 0;
  for (float s : samples) sum += static_cast<double>(s) * static_cast<double>(s);
  return sum / static_cast<double>(samples.size());
}

class EveryAugmentation : public testing::TestWithParam<std::string> {
 protected:
  std::string example() const { return Registry<Augmentation>::instance().entries().at(GetParam()).example; }
};

TEST_P(EveryAugmentation, IsAFunctionOfSamplesAndKey) {
  const auto augmentation = make(example()), twin = make(example());
  std::set<std::vector<float>> results;
  for (uint64_t visit = 0; visit < 40; ++visit) {
    const RandomKey key = RandomKey(7).with(visit);
    std::vector<float> once = tone(300, 4000), again = once;
    augmentation->apply(once, key);
    twin->apply(again, key);
    ASSERT_EQ(once, again);
    results.insert(once);
  }
  EXPECT_GT(results.size(), 10u);
  EXPECT_LT(results.size(), 35u) << "share 0.5 leaves about half of them alone";
  EXPECT_TRUE(results.count(tone(300, 4000)));
}

TEST_P(EveryAugmentation, KeepsTheLengthWithinFifteenPercent) {
  const auto augmentation = make(example());
  for (size_t length : {1u, 2u, 17u, 1000u}) {
    for (uint64_t visit = 0; visit < 20; ++visit) {
      std::vector<float> samples = tone(300, length);
      augmentation->apply(samples, RandomKey(visit));
      ASSERT_GE(samples.size(), 1u);
      ASSERT_NEAR(static_cast<double>(samples.size()), static_cast<double>(length),
                  0.15 * static_cast<double>(length) + 0.5);
      for (float s : samples) ASSERT_TRUE(std::isfinite(s));
    }
  }
}

TEST_P(EveryAugmentation, SurvivesNoSamplesAtAll) {
  const auto augmentation = make(example());
  for (uint64_t visit = 0; visit < 10; ++visit) {
    std::vector<float> samples;
    augmentation->apply(samples, RandomKey(visit));
    EXPECT_TRUE(samples.empty());
  }
}

std::vector<std::string> registered() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : Registry<Augmentation>::instance().entries()) names.push_back(name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Registered, EveryAugmentation, testing::ValuesIn(registered()),
                         [](const auto& info) { return info.param; });

TEST(Augmentations, IncludeGainNoiseAndSpeed) {
  EXPECT_THAT(registered(), testing::IsSupersetOf({"gain", "noise", "speed"}));
}

TEST(Gain, MultipliesByAFactorInItsRange) {
  const std::vector<float> clean = tone(300, 1000);
  EXPECT_NEAR(power(applied("{type: gain, min_db: 6, max_db: 6}", clean)) / power(clean), std::pow(10, 0.6), 1e-4);
  double lowest = 100, highest = -100;
  for (uint64_t visit = 0; visit < 200; ++visit) {
    const double db =
        10 * std::log10(power(applied("{type: gain, min_db: -3, max_db: 9}", clean, RandomKey(visit))) / power(clean));
    lowest = std::min(lowest, db);
    highest = std::max(highest, db);
  }
  EXPECT_NEAR(lowest, -3, 0.5);
  EXPECT_NEAR(highest, 9, 0.5);
}

TEST(Speed, MakesTheLengthThatTheSpeedSays) {
  for (double speed : {0.87, 0.9, 1.0, 1.1, 1.17})
    for (size_t length : {1u, 999u, 16000u})
      EXPECT_EQ(applied(concat("{type: speed, min: ", speed, ", max: ", speed, "}"), tone(300, length)).size(),
                static_cast<size_t>(std::llround(static_cast<double>(length) / speed)));
}

TEST(Speed, MovesThePitch) {
  for (double speed : {0.9, 1.1}) {
    const auto result = applied(concat("{type: speed, min: ", speed, ", max: ", speed, "}"), tone(1000, 8000));
    const auto expected = tone(1000 * speed, result.size());
    for (size_t i = 100; i + 100 < result.size(); ++i)
      ASSERT_NEAR(result[i], expected[i], 2e-4) << speed << " at " << i;
  }
}

TEST(Speed, OfOneLeavesTheSamplesAlone) {
  const auto clean = tone(700, 2000), result = applied("{type: speed, min: 1, max: 1}", clean);
  for (size_t i = 0; i < clean.size(); ++i) ASSERT_NEAR(result[i], clean[i], 1e-6);
}

TEST(Speed, DoesNotFoldHighFrequenciesBack) {
  const auto result = applied("{type: speed, min: 1.17, max: 1.17}", tone(7900, 8000));  // would be 9243 Hz
  const std::vector<float> middle(result.begin() + 200, result.end() - 200);
  EXPECT_LT(10 * std::log10(power(middle) / power(tone(7900, 8000))), -50);
}

TEST(Noise, HasTheRatioItWasAskedFor) {
  const auto clean = tone(300, 16000);
  for (const char* color : {"white", "pink"}) {
    for (double snr_db : {0.0, 20.0}) {
      auto noise = applied(
          concat("{type: noise, color: ", color, ", min_snr_db: ", snr_db, ", max_snr_db: ", snr_db, "}"), clean);
      for (size_t i = 0; i < noise.size(); ++i) noise[i] -= clean[i];
      EXPECT_NEAR(10 * std::log10(power(clean) / power(noise)), snr_db, 0.01) << color;
    }
  }
}

// Energy of the orthonormal Haar details of each octave, the highest first.
std::vector<double> octave_energies(std::vector<float> samples, int num_octaves) {
  std::vector<double> energies;
  for (int octave = 0; octave < num_octaves; ++octave) {
    double energy = 0;
    std::vector<float> coarse(samples.size() / 2);
    for (size_t i = 0; i < coarse.size(); ++i) {
      const double detail = (samples[2 * i] - samples[2 * i + 1]) / std::sqrt(2.0);
      energy += detail * detail;
      coarse[i] = static_cast<float>((samples[2 * i] + samples[2 * i + 1]) / std::sqrt(2.0));
    }
    energies.push_back(energy);
    samples = std::move(coarse);
  }
  return energies;
}

std::vector<double> noise_octaves(const std::string& color) {
  const auto clean = tone(300, 1 << 16);
  auto noise = applied("{type: noise, color: " + color + ", min_snr_db: 0, max_snr_db: 0}", clean);
  for (size_t i = 0; i < noise.size(); ++i) noise[i] -= clean[i];
  return octave_energies(noise, 8);
}

TEST(Noise, WhiteHasHalfTheEnergyInEachLowerOctave) {
  const auto energies = noise_octaves("white");
  for (size_t i = 0; i + 1 < energies.size(); ++i) EXPECT_NEAR(energies[i] / energies[i + 1], 2.0, 0.4) << i;
}

TEST(Noise, PinkHasTheSameEnergyInEachOctave) {
  const auto energies = noise_octaves("pink");
  for (size_t i = 0; i + 1 < energies.size(); ++i) EXPECT_NEAR(energies[i] / energies[i + 1], 1.0, 0.35) << i;
}

TEST(Noise, LeavesSilenceAlone) {
  const std::vector<float> silence(500, 0.0f);
  EXPECT_EQ(applied("{type: noise}", silence), silence);
}

TEST(Noise, CutsFromRecordingsAndStartsOver) {
  // 1 s of 400 Hz is a whole number of periods, so the loop is seamless and the noise stays a 400 Hz sine of any phase.
  const std::vector<float> clean(40000, 0.1f);
  auto noise = applied("{type: noise, files: [\"tone:400\"], min_snr_db: 0, max_snr_db: 0}", clean);
  for (size_t i = 0; i < noise.size(); ++i) noise[i] -= clean[i];
  for (size_t i = 0; i + 40 < noise.size(); ++i) ASSERT_NEAR(noise[i], noise[i + 40], 1e-4);  // the period
  EXPECT_NEAR(power(noise), 0.01, 1e-4);
}

TEST(Noise, ReadsAManifestOfRecordings) {
  const TemporaryFolder folder("noise");
  FileLayer files;
  const std::string manifest = (folder.path() / "noise.jsonl").string();
  write_text(files, manifest, "{\"audio_filepath\": \"absent.flac\", \"duration\": 2}\n");
  EXPECT_THROW(make("{type: noise, manifest: \"" + manifest + "\"}"), DataError);
  write_text(files, manifest, "{\"audio\": \"x.flac\"}\n");
  EXPECT_THROW(make("{type: noise, manifest: \"" + manifest + "\"}"), DataError);
  write_text(files, manifest, "not json\n");
  EXPECT_THROW(make("{type: noise, manifest: \"" + manifest + "\"}"), DataError);
  const char* data = std::getenv("REHEARSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "REHEARSE_TEST_DATA is not set: the recordings were not read";
  const std::string real = std::string(data) + "/noise/noise.jsonl";
  const auto clean = tone(300, 16000);
  auto noise = applied("{type: noise, manifest: \"" + real + "\", min_snr_db: 10, max_snr_db: 10}", clean);
  for (size_t i = 0; i < noise.size(); ++i) noise[i] -= clean[i];
  EXPECT_NEAR(10 * std::log10(power(clean) / power(noise)), 10, 0.01);
}

TEST(Noise, AManifestWithoutRecordingsIsNoSilentStepToSyntheticNoise) {
  const TemporaryFolder folder("noise");
  FileLayer files;
  const std::string manifest = (folder.path() / "noise.jsonl").string();
  for (const char* text : {"", "\n", " \n\r\n"}) {
    write_text(files, manifest, text);
    try {
      make("{type: noise, manifest: \"" + manifest + "\"}");
      FAIL() << "expected a DataError";
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("expected recordings of noise, one a line; found none"));
    }
  }
}

// 1 s of silence, then 1 s of a tone of 400 Hz.
std::string half_silent_recording(const TemporaryFolder& folder) {
  std::vector<float> samples(16000, 0.0f);
  const std::vector<float> sound = tone(400, 16000);
  samples.insert(samples.end(), sound.begin(), sound.end());
  const std::string path = (folder.path() / "half.flac").string();
  FileLayer files;
  const std::vector<std::byte> flac = encode_flac(to_int16(samples), 16000);
  write_text(files, path, {reinterpret_cast<const char*>(flac.data()), flac.size()});
  return path;
}

TEST(Noise, TakesThePartThatALineNames) {
  const TemporaryFolder folder("noise");
  half_silent_recording(folder);
  FileLayer files;
  const std::string manifest = (folder.path() / "noise.jsonl").string(),
                    yaml = "{type: noise, manifest: \"" + manifest + "\"}";
  write_text(files, manifest, R"({"audio_filepath": "half.flac", "offset": 1.0, "duration": 1.0})");
  const std::vector<float> clean(8000, 0.1f);
  for (uint64_t visit = 0; visit < 30; ++visit) {
    std::vector<float> noise = applied(yaml, clean, RandomKey(visit));
    for (size_t i = 0; i + 40 < noise.size(); ++i) ASSERT_NEAR(noise[i], noise[i + 40], 1e-4) << "nothing but the tone";
  }
  write_text(files, manifest, R"({"audio_filepath": "half.flac", "duration": 0.9})");
  EXPECT_THROW(make(yaml), DataError) << "the silent part alone";
  write_text(files, manifest, R"({"audio_filepath": "half.flac", "offset": "1.0"})");
  EXPECT_THROW(make(yaml), DataError);
  write_text(files, manifest, R"({"audio_filepath": "half.flac", "duration": 1.99})");
  EXPECT_NO_THROW(make(yaml)) << "a rounded duration is the whole file";
}

TEST(Noise, DoesNotLeaveAnUtteranceCleanBecauseItMetSilence) {
  const TemporaryFolder folder("noise");
  const std::string path = half_silent_recording(folder);
  const std::vector<float> clean(800, 0.1f);
  for (uint64_t visit = 0; visit < 60; ++visit)
    EXPECT_NE(applied("{type: noise, files: [\"" + path + "\"]}", clean, RandomKey(visit)), clean) << visit;
}

TEST(Gain, DoesNotClip) {
  const std::vector<float> loud = applied("{type: gain, min_db: 12, max_db: 12}", tone(300, 1000));
  EXPECT_GT(*std::max_element(loud.begin(), loud.end()), 1.9f) << "the front-end takes what exceeds 1 as it is";
}

TEST(Noise, RefusesASilentRecording) {
  EXPECT_THROW(make("{type: noise, files: [\"tone:silent\"]}"), DataError);
}

TEST(AugmentationOptions, AreChecked) {
  for (const char* yaml :
       {"{type: gain, min_db: 3, max_db: 1}", "{type: speed, min: 1.1, max: 0.9}", "{type: speed, min: 0.5}",
        "{type: noise, min_snr_db: 30, max_snr_db: 10}", "{type: noise, color: brown}", "{type: gain, share: 1.5}",
        "{type: gain, min: 3}", "{type: no_such_change}"})
    EXPECT_THROW(make(yaml), ConfigError) << yaml;
}

TEST(BuildAugmentations, KeepsTheOrderOfTheList) {
  Config config = Config::parse("{augment: [{type: gain, min_db: 6, max_db: 6}, {type: speed, min: 1.1, max: 1.1}]}");
  ConfigNode data = config.root();
  const auto augmentations = build_augmentations(data, {});
  ASSERT_EQ(augmentations.size(), 2u);
  std::vector<float> samples = tone(300, 1100);
  augmentations[0]->apply(samples, RandomKey(1));
  EXPECT_EQ(samples.size(), 1100u);
  augmentations[1]->apply(samples, RandomKey(1));
  EXPECT_EQ(samples.size(), 1000u);
}

TEST(BuildAugmentations, OfNoListIsEmpty) {
  Config config = Config::parse("{}");
  ConfigNode data = config.root();
  EXPECT_TRUE(build_augmentations(data, {}).empty());
}

}  // namespace
}  // namespace rehearse
