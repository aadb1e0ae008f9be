// Connectionist temporal classification: front-end, acoustic model, CTC loss, greedy hypotheses.
#include <chrono>

#include "data/speech/features/feature_cache.h"
#include "data/speech/features/features.h"
#include "data/speech/features/spec_augment.h"
#include "data/speech/speech_batch.h"
#include "models/acoustic_model.h"
#include "models/ops/ctc_loss.h"
#include "models/torch_prelude.h"
#include "trainer/base/registry.h"
#include "trainer/tasks/task.h"

namespace rehearse {
namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

AcousticModel::Context model_context(const Task::Context& context, const Features& features) {
  AcousticModel::Context model;
  model.input_channels = features.channels();
  model.num_classes = context.tokenizer->size() + 1;  // the blank is the last one
  model.seed = context.seed;
  model.options = at::TensorOptions().dtype(at::kFloat).device(context.device);
  model.all_reduce_sum = context.all_reduce_sum;
  return model;
}

class CtcTask : public Task {
 public:
  static constexpr const char* kExample = "{type: ctc}";
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };

  CtcTask(const Options&, const Context& context)
      : sample_rate_hz_(context.sample_rate_hz),
        device_(context.device),
        features_(build_features(context.features, {context.sample_rate_hz})),
        cache_(read_cache_bytes(context.features)),
        spec_augment_(read_spec_augment(context.features)),
        model_(context.blocks, model_context(context, *features_)) {}

  ParameterStore& store() override { return model_.store(); }

  TaskOutput forward(const Batch& any, const ForwardContext& context) override {
    const double start = now_s();
    const auto& batch = static_cast<const SpeechBatch&>(any);
    const auto size = static_cast<int64_t>(batch.num_samples.size());
    // The batch outlives this call, and the front-end does not write to its input.
    const at::Tensor samples =
        at::from_blob(const_cast<float*>(batch.samples.data()), {size, batch.max_samples}, at::kFloat);
    FeatureBatch features = features_of(samples, batch);
    if (context.is_training) spec_augment_.apply(features, context.seed, context.step, context.ids);
    const Sequence logits = model_.forward({features.x, features.lengths}, context);
    const double middle = now_s();
    TaskOutput output = judge(logits, batch);
    output.model_seconds = middle - start;
    return output;
  }

  TaskOutput judge(const Sequence& logits, const Batch& any) override {
    const double start = now_s();
    const auto& batch = static_cast<const SpeechBatch&>(any);
    TaskOutput output;
    std::vector<double> weights(batch.weights.begin(), batch.weights.end());
    for (size_t b = 0; b < weights.size(); ++b)
      if (!batch.failures[b].empty()) weights[b] = 0;
    CtcLoss loss = ctc_loss(logits.x, logits.lengths, batch.tokens, model_.blank(), weights);
    output.loss_sum = loss.sum;
    output.logits = {logits.x.detach(), logits.lengths};
    for (size_t b = 0; b < weights.size(); ++b)
      output.is_infeasible.push_back(ctc_frames_needed(batch.tokens[b]) > logits.lengths[b]);
    for (size_t b = 0; b < weights.size(); ++b)
      if (weights[b] > 0 && !loss.is_infeasible[b]) output.normalizer += static_cast<double>(batch.tokens[b].size());
    PendingPaths paths(logits.x, logits.lengths, model_.blank());
    output.pending = [loss = std::move(loss), paths = std::move(paths)](TaskOutput& later) mutable {
      loss.collect();
      later.losses = std::move(loss.losses);
      for (GreedyPath& path : paths.collect()) {
        later.hypotheses.push_back(std::move(path.tokens));
        later.token_frames.push_back(std::move(path.frames));
        later.blank_frames += path.num_blank_frames;
      }
    };
    for (int64_t length : logits.lengths) output.frames += length;
    output.loss_seconds = now_s() - start;
    return output;
  }

  int64_t output_frames(double duration_s) const override {
    const auto samples = static_cast<int64_t>(duration_s * sample_rate_hz_);
    return model_.output_length(features_->num_frames(samples));
  }

  double seconds_per_frame() const override {
    // One second of further audio gives this many further frames.
    const int64_t frames =
        features_->num_frames(int64_t{1001} * sample_rate_hz_) - features_->num_frames(sample_rate_hz_);
    return 1000.0 / static_cast<double>(frames) * static_cast<double>(model_.stride());
  }

  nlohmann::json front_end() const override { return {{"spec", features_->spec()}, {"hash", features_->hash()}}; }

  std::vector<std::vector<std::string>> describe() const override {
    std::vector<std::vector<std::string>> rows;
    for (const AcousticModel::BlockSummary& block :
         model_.summary(features_->num_frames(int64_t{10} * sample_rate_hz_)))
      rows.push_back({block.name, block.type, std::to_string(block.input_frames), std::to_string(block.output_frames),
                      std::to_string(block.output_channels), std::to_string(block.num_parameters)});
    return rows;
  }

 private:
  // A device computes features faster than it would fetch cached ones.
  FeatureBatch features_of(const at::Tensor& samples, const SpeechBatch& batch) {
    if (device_.is_cpu()) return cache_.compute(*features_, samples, batch.num_samples, batch.is_cacheable);
    return features_->compute(samples.pin_memory().to(device_, /*non_blocking=*/true), batch.num_samples);
  }
  static int64_t read_cache_bytes(ConfigNode features) {
    return features.integer("cache_mb", 1024, {0, 1 << 24}) << 20;
  }
  static SpecAugment::Options read_spec_augment(ConfigNode features) {
    ConfigNode node = features.child("spec_augment");
    return SpecAugment::Options::from(node);
  }

  int sample_rate_hz_;
  at::Device device_;
  std::unique_ptr<Features> features_;
  FeatureCache cache_;
  SpecAugment spec_augment_;
  AcousticModel model_;
};

REHEARSE_REGISTER(Task, "ctc", CtcTask);

}  // namespace
}  // namespace rehearse
