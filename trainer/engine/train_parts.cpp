#include "trainer/engine/train_parts.h"

#include "trainer/base/registry.h"
#include "trainer/engine/update/parameter_groups.h"
#include "trainer/engine/update/update.h"

namespace rehearse {
namespace {

Sampler::Context sampler_context(const Dataset& dataset, const RunOptions& options, const TaskTerms& terms) {
  Sampler::Context context;
  context.domain = dataset.domain;
  context.cost = dataset.cost;
  context.ids = dataset.ids;
  context.domains = dataset.domains;
  context.seed = options.seed;
  context.planned_draws = planned_draws(options, dataset);
  context.error_name = terms.error_key;
  context.error_title = terms.error_title;
  context.examples = terms.examples;
  context.cost_name = terms.drawn_cost_key;
  return context;
}

// A part whose map names its type, with a default type.
template <class Interface>
std::unique_ptr<Interface> build(ConfigNode node, const std::string& default_type,
                                 const typename Interface::Context& context) {
  return Registry<Interface>::instance().create(node.text("type", default_type), node, context);
}

}  // namespace

uint64_t planned_draws(const RunOptions& options, const Dataset& dataset) {
  const BudgetOptions& budget = options.budget;
  const auto count = static_cast<double>(dataset.size());
  double draws = 0;
  const auto limit = [&](double at_most) {
    if (at_most > 0 && (draws == 0 || at_most < draws)) draws = at_most;
  };
  limit(static_cast<double>(budget.draws));
  limit(budget.passes * count);
  limit(static_cast<double>(budget.steps) * options.batch.cost / (dataset.total_cost / count));
  return static_cast<uint64_t>(draws);
}

RunParts::RunParts(Config& config, const std::string& config_path, const Place& place)
    : options(RunOptions::from(config, config_path)) {
  ConfigNode root = config.root();
  model = std::make_unique<Model>(config, options.seed, place.all_reduce_sum, place.device);
  apply_parameter_groups(root.child("optimizer"), model->arena());
  schedule = build<Schedule>(root.child("schedule"), "cosine", {});
  const auto bounds = shard_bounds(model->arena().num_elements(), options.update.is_sharded ? place.size : 1);
  const auto shard = static_cast<size_t>(options.update.is_sharded ? place.rank : 0);
  optimizer =
      build<Optimizer>(root.child("optimizer"), "adamw",
                       {bounds[shard + 1] - bounds[shard], place.device.is_cpu() ? nullptr : installed_device_table()});

  Task& task = model->task();
  training = task.training_set();
  validation = task.validation_set();
  sampler =
      build<Sampler>(root.child("curriculum"), "curriculum", sampler_context(training->dataset, options, task.terms()));
  planner = std::make_unique<BatchPlanner>(options.batch, training->dataset.cost, options.seed, *sampler);
  // The base's keys are the first task's, and one of them is batch.seconds.
  if (task.terms().task != kFirstTask || root.child("batch").has("cost")) config.forgive_base();
  root.expect_all_read();
}

}  // namespace rehearse
