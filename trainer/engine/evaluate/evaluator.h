// Scoring of sets of examples, shared out over the ranks: every example once, the same figures in every world.
#pragma once

#include <string>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/engine/model.h"

namespace rehearse {

struct ScoringOptions {
  double batch_cost = 120;         // padded cost computed at once
  int loader_threads = 1;          // that load
  bool with_detail = false;        // figures alone are a tenth of what travels between ranks
  std::vector<uint32_t> examples;  // these alone; empty: all
};

// Batches of similar cost and at most batch_cost are dealt to ranks by their padded cost; all ranks return all scores
// in order of example. Dropout and augmentation are off. What Task::is_scored_alone says of is a batch of its own.
std::vector<ExampleScore> score_set(Task& task, const ExampleSet& set, const ScoringOptions& options,
                                    Communicator& communicator);

// Sums of one domain.
struct DomainScore {
  std::string domain;
  uint64_t examples = 0;
  double cost = 0;
  std::vector<double> sums;  // as in ExampleScore
  double loss = 0;           // mean over what has one
  uint64_t failures = 0;
};
std::vector<DomainScore> scores_by_domain(const Dataset& dataset, const std::vector<ExampleScore>& scores);

// The quotient; of nothing 0 where nothing is wrong, else 1.
double score_of(const std::vector<double>& sums, const ScoreTerm& term);

}  // namespace rehearse
