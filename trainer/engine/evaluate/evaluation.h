// The figures of an evaluation: sums over sets, intervals, and the three ways they are written (METRICS.md).
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/observe/terms.h"

namespace rehearse {

struct ScoredExample {
  uint64_t id = 0;
  std::string name;
  double cost = 0;
  std::string failure;       // of loading; the sums are then those of a wrong answer
  std::vector<double> sums;  // TaskTerms::scores and counts
  nlohmann::json detail;     // what a file of answers says about it
};

// The examples of one domain in one file.
struct ScoredSet {
  std::string manifest;
  std::string domain;
  std::string training;  // what TrainingData::relation_of says
  std::vector<ScoredExample> examples;
};

// A line of a file that is not scored.
struct LeftOut {
  std::string manifest;
  std::string domain;
  std::string name;
  std::string reason;
};

struct EvaluationResult {
  const TaskTerms* terms = &terms_of(kFirstTask);
  std::string checkpoint;
  uint64_t step = 0;
  std::string note;                                 // behind checkpoint and step
  nlohmann::json facts = nlohmann::json::object();  // of the task, for the JSON file
  std::vector<ScoredSet> sets;
  std::vector<LeftOut> left_out;
  std::vector<std::string> notes;  // below the table
  std::string detail_table;        // of the task, last
};

// What a checkpoint was trained on in its own run, as far as it says; what came before --init is not known to it.
class TrainingData {
 public:
  // From the sampler's state; where it has none, `ids` (Task::training_ids).
  using Ids = std::vector<std::pair<uint64_t, std::string>>;
  static TrainingData of(const LoadedCheckpoint& checkpoint, const std::function<Ids()>& ids);
  // "in": at least half of the set's stable ids were in the training data; "domain": fewer, but its domain was;
  // "out": neither; "unknown": the checkpoint does not say.
  std::string relation_of(const std::string& domain, const std::vector<uint64_t>& ids) const;

 private:
  std::set<std::string> domains_;
  std::set<uint64_t> ids_;
};

// How many were refused, if any; a row per set, then the macro average: the mean over domains of each domain's figures.
// What failed and what was left out follow, each with its reason.
std::string evaluation_text(const EvaluationResult& result);
nlohmann::json evaluation_json(const EvaluationResult& result);
// A line for each domain of a manifest of which more than this share was refused: left out, or not to be read.
std::vector<std::string> excessive_refusals(const EvaluationResult& result, double max_rejected_share);
// JSON Lines, one example each.
std::string answers_text(const EvaluationResult& result);

}  // namespace rehearse
