#include "trainer/engine/train_parts.h"

#include "trainer/base/printable.h"
#include "trainer/base/registry.h"
#include "trainer/engine/parameter_groups.h"
#include "trainer/engine/update.h"

namespace rehearse {
namespace {

Sampler::Context sampler_context(const Dataset& dataset, const RunOptions& options) {
  Sampler::Context context;
  context.domain = dataset.domain;
  context.duration_s = dataset.cost;
  context.ids = dataset.ids;
  context.domains = dataset.domains;
  context.seed = options.seed;
  context.planned_draws = planned_draws(options, dataset);
  return context;
}

// A part whose map names its type, with a default type.
template <class Interface>
std::unique_ptr<Interface> build(ConfigNode node, const std::string& default_type,
                                 const typename Interface::Context& context) {
  return Registry<Interface>::instance().create(node.text("type", default_type), node, context);
}

// A run that validates on nothing would have no best checkpoint and nobody would know.
void expect_utterances(const std::vector<std::string>& manifests) {
  for (const std::string& path : manifests)
    if (read_manifest(path).empty())
      throw DataError(path, ": expected utterances to validate on (data.valid); found none; leave it out");
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
  limit(static_cast<double>(budget.steps) * options.batch.seconds / (dataset.total_cost / count));
  return static_cast<uint64_t>(draws);
}

RunParts::RunParts(Config& config, const std::string& config_path, const Place& place)
    : options(RunOptions::from(config, config_path)) {
  ConfigNode root = config.root();
  ConfigNode data = root.child("data");
  augmentations = build_augmentations(data, {Recognizer::kSampleRateHz});
  recognizer = std::make_unique<Recognizer>(config, load_tokenizer(options.tokenizer), options.seed,
                                            place.all_reduce_sum, place.device);
  apply_parameter_groups(root.child("optimizer"), recognizer->arena());
  schedule = build<Schedule>(root.child("schedule"), "cosine", {});
  const auto bounds = shard_bounds(recognizer->arena().num_elements(), options.update.is_sharded ? place.size : 1);
  const auto shard = static_cast<size_t>(options.update.is_sharded ? place.rank : 0);
  optimizer = build<Optimizer>(
      root.child("optimizer"), "adamw",
      {bounds[shard + 1] - bounds[shard], place.device.is_cpu() ? nullptr : installed_device_kernels()});

  const auto frames = [this](double duration_s) { return recognizer->task().output_frames(duration_s); };
  corpus = std::make_unique<Corpus>(read_manifests(options.train_manifests), recognizer->normalizer(),
                                    recognizer->tokenizer(), options.corpus, frames);
  if (corpus->items().empty())
    data.fail("train", "expected at least one usable utterance; found none; `rehearse doctor` lists why");
  if (!options.valid_manifests.empty()) {
    Corpus::Options all = options.corpus;  // an evaluation set is scored whole
    all.drop_infeasible = false;
    all.drop_textless = false;
    all.max_duration_s = 3600;
    expect_utterances(options.valid_manifests);
    validation = std::make_unique<Corpus>(read_manifests(options.valid_manifests), recognizer->normalizer(),
                                          recognizer->tokenizer(), all, nullptr);
    if (validation->items().empty()) {
      const Rejection& first = validation->rejections().front();
      throw DataError("data.valid: expected at least one usable utterance; found ", validation->rejections().size(),
                      " that are not, first ", quoted(first.name), ": ", first.reason,
                      "; mend the manifest, or leave data.valid empty");
    }
  }
  dataset = corpus->dataset();
  SpeechLoading::Options how = options.loading;
  how.sample_rate_hz = Recognizer::kSampleRateHz;
  loading = std::make_unique<SpeechLoading>(how, *corpus, readers, augmentations, options.seed);
  sampler = build<Sampler>(root.child("curriculum"), "curriculum", sampler_context(dataset, options));
  planner = std::make_unique<BatchPlanner>(options.batch, dataset.cost, options.seed, *sampler);
  root.expect_all_read();
}

}  // namespace rehearse
