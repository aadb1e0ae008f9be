#include "trainer/engine/evaluate/evaluate_run.h"

#include <ATen/Parallel.h>

#include <iostream>
#include <map>

#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/checkpoint/checkpoint_report.h"
#include "trainer/device/device.h"
#include "trainer/engine/evaluate/evaluation.h"
#include "trainer/engine/evaluate/evaluator.h"
#include "trainer/engine/run_options.h"
#include "trainer/engine/session.h"

namespace rehearse {
namespace {

void add_sets(const std::string& manifest, const ExampleSet& set, std::vector<ExampleScore> scores,
              const TrainingData& training, EvaluationResult& result) {
  const Dataset& dataset = set.dataset;
  std::vector<ScoredSet> sets(dataset.domains.size());
  std::vector<std::vector<uint64_t>> ids(sets.size());
  for (ExampleScore& score : scores) {
    const uint32_t d = dataset.domain[score.example];
    sets[d].examples.push_back({dataset.ids[score.example], dataset.name_of(score.example),
                                dataset.exact_cost(score.example), score.failure, std::move(score.sums),
                                std::move(score.detail)});
    ids[d].push_back(dataset.ids[score.example]);
  }
  for (size_t d = 0; d < sets.size(); ++d) {
    sets[d].manifest = manifest;
    sets[d].domain = dataset.domains[d];
    sets[d].training = training.relation_of(sets[d].domain, ids[d]);
    result.sets.push_back(std::move(sets[d]));
  }
  for (const Rejection& rejection : dataset.rejections)
    result.left_out.push_back({manifest, rejection.domain, rejection.name, rejection.reason});
}

void write_results(const EvaluateRequest& request, const EvaluationResult& result) {
  std::cout << evaluation_text(result) << std::flush;  // first: a disk that fails now costs no figures
  FileLayer files;
  if (!request.json_path.empty()) replace_text(files, request.json_path, evaluation_json(result).dump(1) + "\n");
  if (!request.answers_path.empty()) replace_text(files, request.answers_path, answers_text(result));
}

// Its utterances would count twice.
void expect_each_once(const std::vector<std::string>& manifests) {
  std::map<fs::path, std::string> given;
  for (const std::string& manifest : manifests) {
    std::error_code absent;  // is said when the manifest is read
    const auto [first, is_new] = given.emplace(fs::weakly_canonical(manifest, absent), manifest);
    if (!is_new)
      throw ConfigError("--manifest: expected every manifest once; found ", first->second, " and ", manifest,
                        "; leave one out");
  }
}

// All of them before anything is scored, so that the last one's mistakes cost no time.
std::vector<std::unique_ptr<ExampleSet>> sets_of(const std::vector<std::string>& manifests, Task& task) {
  std::vector<std::unique_ptr<ExampleSet>> sets;
  for (const std::string& manifest : manifests) {
    sets.push_back(task.scored_set(manifest));
    if (sets.back()->dataset.size() == 0)
      throw DataError(manifest, ": expected ", task.terms().examples, " to score; found none");
  }
  return sets;
}

double most_rejected(const LoadedCheckpoint& checkpoint) {
  Config config = Config::parse(checkpoint.files.at("config.yaml"), (checkpoint.path / "config.yaml").string());
  return max_rejected_share_of(config.root());
}

std::string detail_table_of(const Task& task, const EvaluationResult& result) {
  std::vector<Task::ScoredDetails> sets;
  for (const ScoredSet& set : result.sets) {
    sets.push_back({set.domain, {}});
    for (const ScoredExample& one : set.examples) sets.back().details.push_back(&one.detail);
  }
  return task.detail_table(sets);
}

int evaluate_in(World& world, Communicator& communicator, const EvaluateRequest& request) {
  const Device device = Device::open(request.device, world, /*is_deterministic=*/true);
  at::set_num_threads(device.host_threads(world));
  const LoadedCheckpoint checkpoint = load_for_use(choose_checkpoint(request.checkpoint, request.step),
                                                   world.local_rank() == 0 ? Check::kChecksums : Check::kSizes);
  const auto model = Model::from_checkpoint(checkpoint, device.torch());
  Task& task = model->task();
  task.keep_weights();
  const TrainingData training = TrainingData::of(checkpoint, [&] { return task.training_ids(); });
  EvaluationResult result;
  result.terms = &task.terms();
  result.checkpoint = checkpoint.path.string();
  result.step = checkpoint.step;
  result.note = task.scoring_note();
  result.facts = task.scoring_facts();
  const auto sets = sets_of(request.manifests, task);
  const ScoringOptions scoring{request.batch_cost, world.fair_threads(), /*with_detail=*/true, {}};
  for (size_t i = 0; i < sets.size(); ++i) {
    for (const std::string& note : task.notes_on(*sets[i])) result.notes.push_back(request.manifests[i] + ": " + note);
    add_sets(request.manifests[i], *sets[i], score_set(task, *sets[i], scoring, communicator), training, result);
  }
  result.detail_table = detail_table_of(task, result);
  if (world.rank() == 0) write_results(request, result);
  const std::vector<std::string> excessive = excessive_refusals(result, most_rejected(checkpoint));
  for (const std::string& line : excessive)
    if (world.rank() == 0) std::cerr << "rehearse: " << line << "\n";
  return excessive.empty() ? kExitOk : kExitData;
}

}  // namespace

int evaluate(const EvaluateRequest& request) {
  const auto prepare = [&](const World& world, CommOptions&) {
    expect_each_once(request.manifests);
    if (world.rank() != 0) return;  // which alone writes
    expect_writable("--json", request.json_path);
    expect_writable("--hypotheses", request.answers_path);
  };
  return run_in_world(
      {.body = [&](World& world, Communicator& communicator) { return evaluate_in(world, communicator, request); },
       .prepare = prepare});
}

}  // namespace rehearse
