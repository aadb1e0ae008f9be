// One set of one domain: plans who says what, speaks it, and writes the audio files.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "data/speech/manifest.h"
#include "data/speech/synth/espeak.h"
#include "data/speech/synth/synth_corpus.h"

namespace rehearse::synth {

// Makes the utterances of one (domain, split). The arguments outlive it.
class UtteranceMaker {
 public:
  UtteranceMaker(const SynthOptions& options, const DomainOptions& domain, Split split, const Espeak& espeak,
                 const fs::path& folder, int jobs);

  // Audio files written, in manifest order. Sizes are those of the options for this split.
  std::vector<Utterance> make_all();

 private:
  struct Candidate {
    uint64_t index = 0;
    std::string text;
    Voice voice;
    RandomKey key{0};
  };

  std::string next_sentence();
  Voice draw_voice(const std::vector<std::string>& names, const RandomKey& key) const;
  Candidate next_candidate();
  Samples speak_at_domain_rate(const Voice& voice, const std::string& text) const;
  void make_talkers(int64_t count);
  // Empty text when the duration is out of bounds.
  Utterance make(const Candidate& candidate) const;
  // How many more candidates to try; 0: the set is full.
  int64_t num_missing(const std::vector<Utterance>& made, double seconds) const;

  const SynthOptions& options_;
  const DomainOptions& domain_;
  Split split_;
  const Espeak& espeak_;
  fs::path audio_folder_;
  int jobs_;
  RandomKey key_;
  uint64_t num_draws_ = 0;
  uint64_t num_candidates_ = 0;
  std::set<std::string> used_;
  std::vector<Samples> talkers_;
};

}  // namespace rehearse::synth
