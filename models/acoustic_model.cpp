#include "models/acoustic_model.h"

#include "models/ops/fused_ops.h"
#include "models/ops/mixed_ops.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {

AcousticModel::AcousticModel(ConfigNode model, const Context& context)
    : store_(context.seed, context.options), num_classes_(context.num_classes) {
  int64_t channels = context.input_channels;
  for (ConfigNode& node : model.children("blocks")) {
    Block::Context block{
        channels, concat("blocks.", blocks_.size()), blocks_.size(), &store_, context.all_reduce_sum, node.where()};
    const std::string type = node.required_text("type");
    blocks_.push_back({block.name, type, Registry<Block>::instance().create(type, node, block)});
    channels = blocks_.back().block->output_channels();
  }
  if (blocks_.empty()) model.fail("blocks", "expected at least one block; found none");
  model.child("head").choice("type", "ctc", {"ctc"});
  head_weight_ = store_.weight("head.weight", {num_classes_, channels}, channels);
  head_bias_ = store_.constant("head.bias", {num_classes_}, 0);
}

Sequence AcousticModel::forward(const Sequence& features, const ForwardContext& context) {
  REHEARSE_CHECK(!context.is_training || context.ids.size() == features.lengths.size(),
                 "dropout is keyed by utterance id: one per utterance");
  Sequence sequence = features;
  for (size_t stage = 0; stage < num_stages(); ++stage) sequence = forward_stage(stage, sequence, context);
  return sequence;
}

void AcousticModel::keep_weights() {
  kept_weights_ = std::make_shared<RoundedWeights>();
}

Sequence AcousticModel::forward_stage(size_t stage, const Sequence& input, const ForwardContext& asked) {
  ForwardContext context = asked;
  if (kept_weights_ && !context.is_training && !at::GradMode::is_enabled() && !context.rounded_weights)
    context.rounded_weights = kept_weights_.get();
  if (stage < blocks_.size()) return blocks_[stage].block->forward(input, context);
  return {mixed_linear(context, input.x, head_weight_, head_bias_), input.lengths};
}

int64_t AcousticModel::output_length(int64_t frames) const {
  for (const NamedBlock& named : blocks_) frames = named.block->output_length(frames);
  return frames;
}

int64_t AcousticModel::stride() const {
  int64_t stride = 1;
  for (const NamedBlock& named : blocks_) stride *= named.block->stride();
  return stride;
}

int64_t AcousticModel::num_parameters_below(const std::string& name) const {
  int64_t count = 0;
  for (const Parameter& parameter : store_.parameters())
    if (parameter.name.rfind(name + ".", 0) == 0) count += parameter.tensor.numel();
  return count;
}

int64_t AcousticModel::num_parameters() const {
  int64_t count = 0;
  for (const Parameter& parameter : store_.parameters()) count += parameter.tensor.numel();
  return count;
}

std::vector<AcousticModel::BlockSummary> AcousticModel::summary(int64_t frames) const {
  std::vector<BlockSummary> rows;
  int64_t stride = 1;
  for (const NamedBlock& named : blocks_) {
    const int64_t next = named.block->output_length(frames);
    stride *= named.block->stride();
    rows.push_back({named.name, named.type, frames, next, named.block->output_channels(),
                    num_parameters_below(named.name), stride});
    frames = next;
  }
  rows.push_back({"head", "ctc", frames, frames, num_classes_, num_parameters_below("head"), stride});
  return rows;
}

}  // namespace rehearse
