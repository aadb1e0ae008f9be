// Writes a synthetic corpus: FOLDER/<domain>/{train,valid,test}.jsonl, FOLDER/<domain>/audio/*, FOLDER/spec.json.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/speech/synth/espeak.h"
#include "data/speech/synth/synth_options.h"
#include "trainer/base/files.h"
#include "trainer/base/log.h"

namespace rehearse::synth {

enum class Split { kTrain, kValid, kTest };

const char* name_of(Split split);  // "train", "valid", "test"
// A function of the sentence alone, so that no sentence is in two sets of any domain, whatever the seed and the sizes:
// 8 of 10 sentences are for training, 1 for validation, 1 for tests.
Split split_of(const std::string& sentence);

struct SetReport {
  int64_t utterances = 0;
  double seconds = 0;
};

struct SynthReport {
  std::map<std::string, std::map<std::string, SetReport>> sets;  // by domain, by split
  int64_t word_types = 0;                                        // in all sets together
  bool was_complete = false;                                     // nothing had to be made
};

// Manifests and decoded samples are a function of options and the version of espeak-ng, whatever `jobs`. spec.json is
// written last. A folder that holds exactly this corpus is left as it is; one that holds another is a ConfigError.
SynthReport write_synth_corpus(const SynthOptions& options, const Espeak& espeak, const fs::path& folder, int jobs,
                               Log& log);

}  // namespace rehearse::synth
