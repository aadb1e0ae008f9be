// The acoustic model: blocks from the YAML list, then the CTC head.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/block.h"

namespace rehearse {

// forward() from one thread. Parameters are leaves; an arena may replace their storage with views (Tensor::set_data).
class AcousticModel {
 public:
  struct Context {
    int64_t input_channels = 0;  // of the features
    int64_t num_classes = 0;     // vocabulary + blank; the blank is the last class
    uint64_t seed = 1;
    at::TensorOptions options;  // type and device of parameters and buffers
    AllReduceSum all_reduce_sum;
  };
  // One line of the table that `rehearse doctor` prints.
  struct BlockSummary {
    std::string name;  // "blocks.0", "head"
    std::string type;
    int64_t input_frames = 0;
    int64_t output_frames = 0;
    int64_t output_channels = 0;
    int64_t num_parameters = 0;
    int64_t total_stride = 1;  // frames of the features for one of the output
  };

  // Reads the map `model`.
  AcousticModel(ConfigNode model, const Context& context);

  // features [B, T, F], zero beyond lengths -> logits [B, T', V]; frames of the logits beyond lengths mean nothing.
  Sequence forward(const Sequence& features, const ForwardContext& context);

  // The same step by step: stage i is block i, the last one is the head.
  size_t num_stages() const { return blocks_.size() + 1; }
  Sequence forward_stage(size_t stage, const Sequence& input, const ForwardContext& context);

  // From here on no weight changes: passes in evaluation without a gradient keep what they make of weights.
  void keep_weights();

  int64_t output_length(int64_t frames) const;  // exact
  int64_t stride() const;
  int64_t num_classes() const { return num_classes_; }
  int32_t blank() const { return static_cast<int32_t>(num_classes_ - 1); }
  int64_t num_parameters() const;
  std::vector<BlockSummary> summary(int64_t frames) const;

  ParameterStore& store() { return store_; }
  std::vector<Parameter>& parameters() { return store_.parameters(); }
  std::vector<Buffer>& buffers() { return store_.buffers(); }

 private:
  struct NamedBlock {
    std::string name;
    std::string type;
    std::unique_ptr<Block> block;
  };
  int64_t num_parameters_below(const std::string& name) const;

  ParameterStore store_;
  std::shared_ptr<RoundedWeights> kept_weights_;
  std::vector<NamedBlock> blocks_;
  int64_t num_classes_;
  at::Tensor head_weight_;  // [V, C]
  at::Tensor head_bias_;    // [V]
};

}  // namespace rehearse
