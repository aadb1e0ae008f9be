// A model that learns nothing is said early: by what it has to learn from, and by what it says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/speech/corpus.h"

namespace rehearse {

// What there is to learn from, against what is to be learned.
struct LearningMaterial {
  double speech_s = 0;
  std::vector<uint64_t> token_counts;  // in the usable training texts, by token
  bool has_subwords = false;           // some token is longer than a character
  uint64_t parameters = 0;

  static LearningMaterial of(const std::vector<Corpus::Item>& items, const Tokenizer& tokenizer, uint64_t parameters);
  uint64_t num_rare() const;  // tokens seen fewer than kRareToken times
};
constexpr uint64_t kRareToken = 20;

// "0.61 h of speech; 300 tokens, 163 of them in the texts fewer than 20 times; 565235 parameters, 258 a second of
// speech"
std::string material_text(const LearningMaterial& material);
// What speaks against learning from it, a line each with what to try; empty when nothing does.
std::vector<std::string> learning_doubts(const LearningMaterial& material);

// What to try when a model says nothing.
std::string what_to_try();

// Watches the share of blank frames of a run. A healthy one has them too (99.1 % at most over 20 updates in those of
// experiments/008-small-corpora), so only a long run of hardly anything else is silence.
class SilenceWatch {
 public:
  // The sums of one update over all ranks. Returns what is to be said now: once when silence is certain, once when it
  // ends; else nothing.
  std::string observe(double blank_frames, double frames);
  bool is_silent() const { return is_silent_; }

 private:
  struct Update {
    double blank_frames = 0, frames = 0;
  };
  std::vector<Update> last_;  // kUpdates at most, in turn
  size_t num_updates_ = 0;
  bool is_silent_ = false;
};

}  // namespace rehearse
