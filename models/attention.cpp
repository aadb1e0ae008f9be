#include "models/attention.h"

#include <cmath>

#include "models/ops/fused_ops.h"
#include "models/ops/mixed_ops.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rotates the two halves of each head by position; the gradient is the opposite rotation.
struct RotaryFunction : torch::autograd::Function<RotaryFunction> {
  // x [B, H, T, d], cosine and sine [T, d / 2].
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                            const at::Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return rotated(x, cosine, sine);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    return {rotated(gradients[0], saved[0], saved[1].neg()), at::Tensor(), at::Tensor()};
  }
  static at::Tensor rotated(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
    const std::vector<at::Tensor> halves = x.chunk(2, 3);
    return at::cat({halves[0] * cosine - halves[1] * sine, halves[1] * cosine + halves[0] * sine}, 3);
  }
};

// position · base^(−i / half) for i < half, in double: [positions, half].
at::Tensor angles_of(const at::Tensor& positions, int64_t half) {
  const at::Tensor rates =
      at::exp(at::arange(half, positions.options()) * (-std::log(10000.0) / static_cast<double>(half)));
  return at::outer(positions, rates);
}

// [B, H, T, 2T − 1], column m for distance T − 1 − m, to [B, H, T, T], column j for frame j: row i begins at T − 1 − i.
at::Tensor by_frame(const at::Tensor& scores) {
  const int64_t batch = scores.size(0), heads = scores.size(1), frames = scores.size(2);
  const at::Tensor shifted = at::constant_pad_nd(scores, {1, 0}).view({batch, heads, 2 * frames, frames});
  return shifted.slice(2, 1).reshape({batch, heads, frames, 2 * frames - 1}).slice(3, 0, frames);
}

}  // namespace

Linear Linear::create(ParameterStore& store, const std::string& name, int64_t outputs, int64_t inputs) {
  return {store.weight(name + ".weight", {outputs, inputs}, inputs), store.constant(name + ".bias", {outputs}, 0)};
}

at::Tensor Linear::operator()(const ForwardContext& context, const at::Tensor& x) const {
  return mixed_linear(context, x, weight, bias);
}

SelfAttention::Frame SelfAttention::frame_of(const Sequence& input, const Shape& shape) {
  const int64_t frames = input.x.size(1);
  const at::TensorOptions options = input.x.options().dtype(at::kDouble);
  std::vector<int64_t> visible;  // an empty utterance attends to its first frame, so that no softmax is empty
  for (int64_t length : input.lengths) visible.push_back(std::max<int64_t>(1, length));
  Frame frame;
  frame.bias = frame_mask(input.x, visible).transpose(1, 2).unsqueeze(1).log();
  if (shape.positions == Positions::kRotary) {
    const at::Tensor angles = angles_of(at::arange(frames, options), shape.channels / shape.heads / 2);
    frame.cosine = angles.cos().to(input.x.scalar_type());
    frame.sine = angles.sin().to(input.x.scalar_type());
  } else {
    const at::Tensor angles = angles_of(at::arange(frames - 1, -frames, -1, options), shape.channels / 2);
    frame.distances = at::stack({angles.sin(), angles.cos()}, 2).flatten(1).to(input.x.scalar_type());
  }
  return frame;
}

void SelfAttention::expect_heads(const Shape& shape, const std::string& where) {
  if (shape.channels % (2 * shape.heads) != 0)
    throw ConfigError(where, ".heads: expected heads of even size; found ", shape.heads, " heads for ", shape.channels,
                      " channels");
}

SelfAttention::SelfAttention(ParameterStore& store, const std::string& prefix, const Shape& shape)
    : shape_(shape),
      qkv_(Linear::create(store, prefix + "qkv", 3 * shape.channels, shape.channels)),
      out_(Linear::create(store, prefix + "out", shape.channels, shape.channels)) {
  if (shape.positions == Positions::kRotary) return;
  const int64_t size = shape.channels / shape.heads;
  position_ = store.weight(prefix + "position.weight", {shape.channels, shape.channels}, shape.channels);
  content_bias_ = store.constant(prefix + "content_bias", {shape.heads, size}, 0);
  position_bias_ = store.constant(prefix + "position_bias", {shape.heads, size}, 0);
}

at::Tensor SelfAttention::operator()(const ForwardContext& context, const at::Tensor& x, const Frame& frame) const {
  const int64_t batch = x.size(0), frames = x.size(1), size = shape_.channels / shape_.heads;
  const at::Tensor qkv = qkv_(context, x).view({batch, frames, 3, shape_.heads, size});
  const std::vector<at::Tensor> parts = qkv.permute({2, 0, 3, 1, 4}).unbind(0);  // [B, H, T, d]
  at::Tensor mixed;
  if (shape_.positions == Positions::kRotary) {
    const at::Tensor query = RotaryFunction::apply(parts[0], frame.cosine, frame.sine);
    const at::Tensor key = RotaryFunction::apply(parts[1], frame.cosine, frame.sine);
    mixed = mixed_attention(context, query, key, parts[2], frame.bias);
  } else {
    const at::Tensor query = parts[0] + content_bias_.unsqueeze(1);
    const at::Tensor bias = frame.bias + relative_scores(context, parts[0], frame);
    mixed = mixed_attention(context, query, parts[1], parts[2], bias);
  }
  return out_(context, mixed.transpose(1, 2).reshape({batch, frames, shape_.channels}));
}

// What distances add to the scores [B, H, T, T], scaled as these are.
at::Tensor SelfAttention::relative_scores(const ForwardContext& context, const at::Tensor& query,
                                          const Frame& frame) const {
  const int64_t size = shape_.channels / shape_.heads;
  const at::Tensor keys = mixed_linear(context, frame.distances, position_, {}).view({-1, shape_.heads, size});
  const at::Tensor scaled = (query + position_bias_.unsqueeze(1)) / std::sqrt(static_cast<double>(size));
  const at::Tensor scores = at::matmul(rounded(context, scaled), rounded(context, keys.permute({1, 2, 0})));
  return by_frame(scores.to(query.scalar_type()));
}

}  // namespace rehearse
