#include "trainer/engine/evaluate/evaluator.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/loader/loader.h"

namespace rehearse {
namespace {

using nlohmann::json;

// What each loader thread loads ahead of the model beyond the batch it is at, as a share of a batch.
constexpr double kAheadShare = 0.5;

struct ScoringBatch {
  MicroBatch draws;
  double padded = 0;
};

// Independent of the world: sorted by cost, cut where a batch would exceed its padded cost.
std::vector<ScoringBatch> cut_batches(const Task& task, const Dataset& dataset, std::vector<uint32_t> order,
                                      double batch_cost) {
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return dataset.exact_cost(a) > dataset.exact_cost(b); });
  std::vector<ScoringBatch> batches;
  double largest = 0;
  for (uint32_t example : order) {
    const double cost = dataset.exact_cost(example);
    if (batches.empty() || task.is_scored_alone(largest) || batches.back().padded + largest > batch_cost) {
      batches.emplace_back();
      largest = cost;
    }
    Draw draw;
    draw.utterance = example;
    MicroBatch& draws = batches.back().draws;
    draws.positions.push_back(static_cast<uint32_t>(draws.draws.size()));
    draws.draws.push_back(draw);
    batches.back().padded += largest;
  }
  return batches;
}

// This rank's: each batch, the largest first, goes to the rank with the least padded cost so far.
std::vector<ScoringBatch> share_of(std::vector<ScoringBatch> batches, const Communicator& communicator) {
  std::stable_sort(batches.begin(), batches.end(), [](const auto& a, const auto& b) { return a.padded > b.padded; });
  std::vector<double> costs(static_cast<size_t>(communicator.size()));
  std::vector<ScoringBatch> own;
  for (ScoringBatch& batch : batches) {
    const auto least = std::min_element(costs.begin(), costs.end());
    *least += batch.padded;
    if (least - costs.begin() == communicator.rank()) own.push_back(std::move(batch));
  }
  return own;
}

json to_json(const ExampleScore& score) {
  return {score.example,    score.sums,     score.error,   score.loss,
          score.loss_units, score.is_empty, score.failure, score.detail};
}

ExampleScore score_from(const json& value) {
  return {value.at(0), value.at(1), value.at(2), value.at(3), value.at(4), value.at(5), value.at(6), value.at(7)};
}

std::vector<ExampleScore> own_scores(Task& task, const ExampleSet& set, const ScoringOptions& scoring,
                                     const std::vector<ScoringBatch>& batches) {
  Loader loader(scoring.loader_threads,
                [&](const MicroBatch& plan, const std::stop_token& stop) { return set.load_plain(plan, stop); });
  const double most_ahead = scoring.batch_cost * (1 + kAheadShare * scoring.loader_threads);
  std::vector<ExampleScore> own;
  double ahead = 0;
  for (size_t pushed = 0, i = 0; i < batches.size(); ++i) {
    for (; pushed < batches.size() && (pushed == i || ahead < most_ahead); ++pushed) {
      loader.push(0, static_cast<int>(pushed), batches[pushed].draws);
      ahead += batches[pushed].padded;
    }
    ahead -= batches[i].padded;
    const std::unique_ptr<Batch> batch = loader.next();
    std::ranges::move(task.score(set, *batch, scoring.with_detail), std::back_inserter(own));
  }
  return own;
}

}  // namespace

std::vector<ExampleScore> score_set(Task& task, const ExampleSet& set, const ScoringOptions& options,
                                    Communicator& communicator) {
  const at::NoGradGuard no_gradients;
  std::vector<uint32_t> wanted = options.examples;
  if (wanted.empty()) {
    wanted.resize(set.dataset.size());
    std::iota(wanted.begin(), wanted.end(), 0u);
  }
  const auto batches = share_of(cut_batches(task, set.dataset, std::move(wanted), options.batch_cost), communicator);
  json list = json::array();
  for (const ExampleScore& score : own_scores(task, set, options, batches)) list.push_back(to_json(score));
  const std::vector<uint8_t> packed = json::to_cbor(list);
  const auto* begin = reinterpret_cast<const std::byte*>(packed.data());
  std::vector<ExampleScore> all;
  for (const auto& bytes : communicator.all_gather({begin, begin + packed.size()}, "all_gather (scores)").get())
    for (const json& one : json::from_cbor(bytes)) all.push_back(score_from(one));
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.example < b.example; });
  return all;
}

std::vector<DomainScore> scores_by_domain(const Dataset& dataset, const std::vector<ExampleScore>& scores) {
  std::vector<DomainScore> domains(dataset.domains.size());
  std::vector<double> units(domains.size());
  for (size_t d = 0; d < domains.size(); ++d) domains[d].domain = dataset.domains[d];
  for (const ExampleScore& score : scores) {
    const uint32_t d = dataset.domain[score.example];
    DomainScore& domain = domains[d];
    ++domain.examples;
    domain.cost += dataset.exact_cost(score.example);
    domain.sums.resize(score.sums.size());
    for (size_t i = 0; i < score.sums.size(); ++i) domain.sums[i] += score.sums[i];
    domain.loss += score.loss;
    if (score.loss != 0) units[d] += score.loss_units;  // what failed or is infeasible has none
    domain.failures += score.failure.empty() ? 0 : 1;
  }
  for (size_t d = 0; d < domains.size(); ++d) domains[d].loss /= std::max(1.0, units[d]);
  std::erase_if(domains, [](const DomainScore& domain) { return domain.examples == 0; });  // all rejected
  return domains;
}

double score_of(const std::vector<double>& sums, const ScoreTerm& term) {
  const double part = sums.at(term.numerator), whole = sums.at(term.denominator);
  if (whole == 0) return part == 0 ? 0 : 1;
  return part / whole;
}

}  // namespace rehearse
