// A dense convolution over time with its norm: what the blocks `conv` and `subsample` are made of.
#pragma once

#include <memory>
#include <string>

#include "models/norm.h"

namespace rehearse {

class StridedConv {
 public:
  struct Shape {
    int64_t input_channels = 0;
    int64_t channels = 0;
    int64_t kernel = 1;
    int64_t stride = 1;
  };
  // Parameters `<prefix>conv.*` and `<prefix>norm.*`.
  StridedConv(const Shape& shape, const NormOptions& norm, const Block::Context& context, const std::string& prefix);
  Sequence forward(const Sequence& input, const ForwardContext& context, const Epilogue& epilogue);

 private:
  Shape shape_;
  at::Tensor weight_;  // [O, K, I]
  at::Tensor bias_;    // [O]
  std::unique_ptr<Norm> norm_;
};

// Reads `kernel`; odd, so that padding is the same on both sides.
int64_t odd_kernel_from(ConfigNode& node, int64_t fallback);

}  // namespace rehearse
