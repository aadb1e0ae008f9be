#include "data/speech/synth/synth_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/speech/synth/espeak.h"
#include "trainer/base/error.h"

namespace rehearse::synth {
namespace {

using ::testing::HasSubstr;

SynthOptions options_of(const std::string& yaml) {
  Config config = Config::parse(yaml);
  ConfigNode root = config.root();
  ConfigNode section = root.child("synth");
  const SynthOptions options = SynthOptions::from(section);
  root.expect_all_read();
  return options;
}

std::string failure_of(const std::string& yaml) {
  try {
    options_of(yaml);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(SynthOptions, DescribeFiveDomainsByDefault) {
  const SynthOptions options = options_of("synth: {}");
  ASSERT_EQ(options.domains.size(), 5u);
  EXPECT_EQ(options.domains[4].domain->name, "drive");
  EXPECT_EQ(options.domains[4].train_seconds, 2400);
  EXPECT_EQ(options.domains[0].train_seconds, 1800);
  for (const DomainOptions& domain : options.domains) {
    EXPECT_GE(domain.voices.size(), 6u);
    EXPECT_EQ(domain.test_voices.size(), 2u);
  }
}

TEST(SynthOptions, ShippedCorpusFileIsTheDefaultCorpus) {
  Config config = Config::load(REHEARSE_SOURCE_DIR "/configs/quickstart_corpus.yaml");
  ConfigNode root = config.root();
  ConfigNode section = root.child("synth");
  const SynthOptions file = SynthOptions::from(section);
  root.expect_all_read();
  const SynthOptions defaults = options_of("synth: {}");
  EXPECT_EQ(file.seed, defaults.seed);
  EXPECT_EQ(file.min_speed_wpm, defaults.min_speed_wpm);
  EXPECT_EQ(file.max_speed_wpm, defaults.max_speed_wpm);
  EXPECT_EQ(file.min_pitch, defaults.min_pitch);
  EXPECT_EQ(file.max_pitch, defaults.max_pitch);
  EXPECT_EQ(file.min_duration_s, defaults.min_duration_s);
  EXPECT_EQ(file.max_duration_s, defaults.max_duration_s);
  ASSERT_EQ(file.domains.size(), defaults.domains.size());
  for (size_t i = 0; i < file.domains.size(); ++i) {
    EXPECT_EQ(file.domains[i].train_seconds, defaults.domains[i].train_seconds);
    EXPECT_EQ(file.domains[i].test_utterances, defaults.domains[i].test_utterances);
    EXPECT_EQ(file.domains[i].snr.low_db, defaults.domains[i].snr.low_db);
    EXPECT_EQ(file.domains[i].snr.high_db, defaults.domains[i].snr.high_db);
  }
}

TEST(SynthOptions, NamedDomainsAreTheOnlyOnes) {
  const SynthOptions options = options_of("synth: {test_utterances: 7, domains: {phone: {train_utterances: 9}}}");
  ASSERT_EQ(options.domains.size(), 1u);
  EXPECT_EQ(options.domains[0].train_utterances, 9);
  EXPECT_EQ(options.domains[0].test_utterances, 7);
}

TEST(SynthOptions, RefuseATestSpeakerWhoIsTrainedInAnyDomain) {
  const std::string yaml = "synth: {domains: {studio: {}, phone: {test_voices: [en-gb+paul]}}}";
  EXPECT_THAT(failure_of(yaml),
              HasSubstr("synth.domains.phone.test_voices: expected speakers that are trained on nowhere"));
}

TEST(SynthOptions, NameTheDomainThatWasMeant) {
  EXPECT_THAT(failure_of("synth: {domains: {fone: {}}}"), HasSubstr("did you mean \"phone\"?"));
  EXPECT_THAT(failure_of("synth: {domains: {crowd: {snr_db: [9, 3]}}}"), HasSubstr("synth.domains.crowd.snr_db"));
  EXPECT_NE(failure_of("synth: {test_utterance: 5}"), "");
}

TEST(SynthOptions, NoDefaultTestSpeakerIsHeardInTrainingOrBabble) {
  std::set<std::string> heard;
  for (const Domain& domain : all_domains())
    for (const std::string& voice : domain.voices) heard.insert(speaker_of(voice));
  for (const std::string& voice : babble_voices()) EXPECT_FALSE(heard.contains(speaker_of(voice))) << voice;
  for (const Domain& domain : all_domains())
    for (const std::string& voice : domain.test_voices) EXPECT_FALSE(heard.contains(speaker_of(voice))) << voice;
  for (const Domain& domain : all_domains()) {
    if (domain.name == "drive") continue;
    for (const std::string& driver : all_domains()[4].voices)
      for (const std::string& voice : domain.voices) EXPECT_NE(speaker_of(voice), speaker_of(driver));
  }
}

TEST(SynthOptions, LimitShortensEverySet) {
  SynthOptions options = options_of("synth: {}");
  options.limit_utterances(10);
  EXPECT_EQ(options.domains[0].train_utterances, 10);
  EXPECT_EQ(options.domains[0].valid_utterances, 10);
  EXPECT_EQ(options.domains[0].test_utterances, 10);
  options.limit_utterances(500);
  EXPECT_EQ(options.domains[0].train_utterances, 500);
  EXPECT_EQ(options.domains[0].test_utterances, 10);
}

}  // namespace
}  // namespace rehearse::synth
