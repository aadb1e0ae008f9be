// The `synth` section of a corpus file: how much of which domain, by whom, from which seed.
#pragma once

#include <string>
#include <vector>

#include "data/speech/synth/domains.h"
#include "trainer/base/config/config.h"

namespace rehearse::synth {

struct DomainOptions {
  const Domain* domain = nullptr;
  int64_t train_utterances = 0;  // 0: as many as train_seconds need
  double train_seconds = 1800;
  int64_t valid_utterances = 40;
  int64_t test_utterances = 60;
  SnrRange snr;
  std::vector<std::string> voices;
  std::vector<std::string> test_voices;
};

struct SynthOptions {
  uint64_t seed = 1;
  double min_duration_s = 1;  // shorter and longer utterances are replaced by others
  double max_duration_s = 6;
  int64_t min_speed_wpm = 145;
  int64_t max_speed_wpm = 180;
  int64_t min_pitch = 35;
  int64_t max_pitch = 65;
  std::vector<DomainOptions> domains;

  // ConfigError also when a speaker of a test set is a training speaker of any domain.
  static SynthOptions from(ConfigNode& node);
  // Exactly this many training utterances a domain, and at most as many in the other sets.
  void limit_utterances(int64_t count);
};

}  // namespace rehearse::synth
