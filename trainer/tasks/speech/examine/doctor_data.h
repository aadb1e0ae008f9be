// What is wrong with a run's data, found before training: every line, every text, every file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/corpus.h"

namespace rehearse {

// One utterance that cannot be used, or is suspect. The kind is the reason up to its first colon: "too long",
// "infeasible", "unreadable", "truncated", "not finite", "silent" …
struct DataProblem {
  std::string domain;
  std::string audio_path;
  std::string reason;
  bool is_audio = false;  // found by decoding the file
  bool is_lost = true;    // training leaves the utterance out; not so when its file is just silent
};

struct ManifestCheck {
  std::string manifest;
  std::string failure;  // of the whole manifest; nothing else is known then
  size_t num_lines = 0;
  size_t num_silent = 0;
  std::vector<DataProblem> problems;
  TextLosses losses;
  std::vector<Corpus::Item> usable;  // by their texts and durations
  std::vector<std::string> domains;  // of `usable`, by Item::domain
};

// options and frames as the run has them (Corpus); every file is decoded, by `threads` threads.
ManifestCheck check_manifest(const std::string& manifest, const Normalizer& normalizer, const Tokenizer& tokenizer,
                             const Corpus::Options& options, const FrameNeeds& frames, int threads);

// The shares of domains that training would refuse to lose: one line each.
std::vector<std::string> excessive_losses(const std::vector<ManifestCheck>& checks, double max_rejected_share);

// Counts by kind and the first few of each; all of them, one a line.
std::string problems_text(const ManifestCheck& check, size_t listed);
std::string problems_list(const std::vector<ManifestCheck>& checks);

// Utterances by duration, and hours, per domain.
std::string durations_text(const std::vector<ManifestCheck>& checks);

}  // namespace rehearse
