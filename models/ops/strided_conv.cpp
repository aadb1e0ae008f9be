#include "models/ops/strided_conv.h"

#include "models/ops/mixed_ops.h"
#include "trainer/base/error.h"

namespace rehearse {

StridedConv::StridedConv(const Shape& shape, const NormOptions& norm, const Block::Context& context,
                         const std::string& prefix)
    : shape_(shape) {
  const int64_t fan_in = shape.kernel * shape.input_channels;
  weight_ =
      context.store->weight(prefix + "conv.weight", {shape.channels, shape.kernel, shape.input_channels}, fan_in, 2);
  bias_ = context.store->constant(prefix + "conv.bias", {shape.channels}, 0);
  norm_ = Norm::create(norm, context, prefix + "norm", shape.channels);
}

Sequence StridedConv::forward(const Sequence& input, const ForwardContext& context, const Epilogue& epilogue) {
  expect_shape(input.x, {-1, -1, shape_.input_channels}, "conv: x [B, T, C]");
  const at::Tensor frames = mixed_conv(context, input.x, weight_, shape_.stride);
  const std::vector<int64_t> lengths = strided_lengths(input.lengths, shape_.stride);
  return {norm_->forward(frames, bias_, lengths, context, epilogue), lengths};
}

int64_t odd_kernel_from(ConfigNode& node, int64_t fallback) {
  const int64_t kernel = node.integer("kernel", fallback, {1, 255});
  if (kernel % 2 == 0) node.fail("kernel", concat("expected an odd number; found ", kernel));
  return kernel;
}

}  // namespace rehearse
