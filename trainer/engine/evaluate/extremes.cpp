#include "trainer/engine/evaluate/extremes.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace rehearse {
namespace {

// Worst first.
std::vector<uint32_t> extremes_of(const std::vector<ExampleScore>& scores, size_t each) {
  std::vector<const ExampleScore*> sorted;
  for (const ExampleScore& score : scores)
    if (score.failure.empty()) sorted.push_back(&score);
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->error > b->error; });
  each = std::min(each, sorted.size() / 2);
  std::vector<uint32_t> examples;
  for (size_t i = 0; i < each; ++i) examples.push_back(sorted[i]->example);
  for (size_t i = sorted.size() - each; i < sorted.size(); ++i) examples.push_back(sorted[i]->example);
  return examples;
}

}  // namespace

std::vector<ShownPicture> drawn_extremes(Task& task, const ExampleSet& set, const std::vector<ExampleScore>& scores,
                                         size_t each) {
  std::vector<ShownPicture> shown;
  if (!task.draws_pictures()) return shown;
  const at::NoGradGuard no_gradients;
  MicroBatch plan;
  for (const uint32_t example : extremes_of(scores, each)) {
    plan.positions.push_back(static_cast<uint32_t>(plan.draws.size()));
    plan.draws.push_back({.utterance = example});
  }
  if (plan.draws.empty()) return shown;
  const std::unique_ptr<Batch> batch = set.load_plain(plan, {});
  for (const ExampleScore& score : task.score(set, *batch, /*with_detail=*/true)) {
    const Dataset& data = set.dataset;
    shown.push_back({.name = data.name_of(score.example),
                     .domain = data.domains[data.domain[score.example]],
                     .error = score.error,
                     .is_best = shown.size() >= plan.draws.size() / 2,
                     .png = task.picture(set, score)});
  }
  return shown;
}

}  // namespace rehearse
