// The figures of an evaluation: sums over sets, intervals, and the three ways they are written (METRICS.md).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "data/text/scoring.h"
#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {

struct ScoredUtterance {
  uint64_t id = 0;
  std::string audio_path;
  double duration_s = 0;
  std::string reference;
  std::string hypothesis;
  std::string failure;  // of the audio; all of the reference then counts as deleted
  EditCounts characters;
  EditCounts words;
};

// The utterances of one domain in one manifest.
struct ScoredSet {
  std::string manifest;
  std::string domain;
  std::string training;  // what TrainingData::relation_of says
  std::vector<ScoredUtterance> utterances;
};

// A line of a manifest that is not scored.
struct LeftOut {
  std::string manifest;
  std::string domain;
  std::string audio_path;
  std::string reason;
};

struct EvaluationResult {
  std::string checkpoint;
  uint64_t step = 0;
  std::string normalizer;
  std::vector<ScoredSet> sets;
  std::vector<LeftOut> left_out;
  std::vector<std::string> notes;  // what the references hold that the model cannot write
};

// `data.train` of the checkpoint's configuration; empty where it has none.
std::vector<std::string> training_manifests(const LoadedCheckpoint& checkpoint);

// What a checkpoint was trained on in its own run, as far as it says; what came before --init is not known to it.
class TrainingData {
 public:
  // From the sampler's state, or else from the manifests of its configuration when they are still there.
  static TrainingData of(const LoadedCheckpoint& checkpoint);
  // "in": at least half of the set's stable ids were in the training data; "domain": fewer, but its domain was;
  // "out": neither; "unknown": the checkpoint does not say.
  std::string relation_of(const std::string& domain, const std::vector<uint64_t>& ids) const;

 private:
  std::set<std::string> domains_;
  std::set<uint64_t> ids_;
};

// How many were refused, if any; a row per set, then the macro average: the mean over domains of each domain's Σ edits
// / Σ length. Failed audio and what was left out follow, each with its reason.
std::string evaluation_text(const EvaluationResult& result);
nlohmann::json evaluation_json(const EvaluationResult& result);
// A line for each domain of a manifest of which more than this share was refused: left out, or not to be read.
std::vector<std::string> excessive_refusals(const EvaluationResult& result, double max_rejected_share);
// JSON Lines, one utterance each.
std::string hypotheses_text(const EvaluationResult& result);

}  // namespace rehearse
