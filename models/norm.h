// Norm, activation, dropout and mask as one step of a block: the part that blocks share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/block.h"
#include "models/ops/fused_ops.h"

namespace rehearse {

Activation activation_from(ConfigNode& node, const std::string& fallback);
double dropout_from(ConfigNode& node, double fallback);

struct NormOptions {
  std::string kind = "layer";  // layer, group, batch or none
  int64_t groups = 8;          // group only
  // batch only: statistics over one micro-batch, which one rank holds whole, instead of over those that all ranks work
  // on at the same time. Nothing is communicated, and the plan makes the same groups in every world.
  bool is_per_micro_batch = false;

  static NormOptions from(ConfigNode& node);
};

// How a layer ends: its norm, then the epilogue.
struct LayerEnd {
  NormOptions norm;
  Activation activation = Activation::kRelu;
  double dropout = 0;

  static LayerEnd from(ConfigNode& node);
  // `site` counts the dropouts of one block.
  Epilogue epilogue(const ForwardContext& context, uint64_t block_index, uint64_t site) const {
    return Epilogue::of(activation, dropout, context, block_index, site);
  }
};

// Normalises x + bias, then applies an epilogue. Statistics use real frames only.
class Norm {
 public:
  virtual ~Norm() = default;
  // x [B, T, C]; bias [C] is that of the linear part before, so that one pass does both.
  virtual at::Tensor forward(const at::Tensor& x, const std::optional<at::Tensor>& bias,
                             const std::vector<int64_t>& lengths, const ForwardContext& context,
                             const Epilogue& epilogue) = 0;

  // The same with the mean of its result over real frames.
  virtual FrameMeans forward_and_mean(const at::Tensor& x, const std::optional<at::Tensor>& bias,
                                      const std::vector<int64_t>& lengths, const ForwardContext& context,
                                      const Epilogue& epilogue);

  // `name` is the full prefix of its parameters ("blocks.3.norm"). ConfigError when groups do not divide channels.
  static std::unique_ptr<Norm> create(const NormOptions& options, const Block::Context& context,
                                      const std::string& name, int64_t channels);
};

}  // namespace rehearse
