#include <cmath>

#include "models/norm.h"
#include "models/ops/fused_ops.h"
#include "models/ops/mixed_ops.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rotates the two halves of each head by position (Su et al. 2021); the gradient is the opposite rotation.
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

// Pre-norm transformer encoder.
class TransformerBlock : public Block {
 public:
  struct Options {
    int64_t layers = 1;
    int64_t heads = 4;
    int64_t ff = 1024;
    double dropout = 0;
    Activation activation = Activation::kSilu;

    static Options from(ConfigNode& node) {
      Options options;
      options.layers = node.integer("layers", options.layers, {1, 128});
      options.heads = node.integer("heads", options.heads, {1, 128});
      options.ff = node.integer("ff", options.ff, {1, 1 << 18});
      options.dropout = dropout_from(node, options.dropout);
      options.activation = activation_from(node, "silu");
      return options;
    }
  };
  static constexpr const char* kExample = "{type: transformer, layers: 2, heads: 2, ff: 40, dropout: 0.2}";

  TransformerBlock(const Options& options, const Context& context)
      : options_(options), channels_(context.input_channels), index_(context.index) {
    if (channels_ % (2 * options.heads) != 0)
      throw ConfigError(context.where, ".heads: expected heads of even size; found ", options.heads, " heads for ",
                        channels_, " channels");
    ParameterStore& store = *context.store;
    for (int64_t l = 0; l < options.layers; ++l) {
      const std::string name = concat(context.name, ".layers.", l, ".");
      Layer layer;
      layer.attention_norm = norm(context, name + "attention_norm");
      layer.qkv = linear(store, name + "qkv", 3 * channels_, channels_);
      layer.out = linear(store, name + "out", channels_, channels_);
      layer.ff_norm = norm(context, name + "ff_norm");
      layer.ff1 = linear(store, name + "ff1", options.ff, channels_);
      layer.ff2 = linear(store, name + "ff2", channels_, options.ff);
      layers_.push_back(std::move(layer));
    }
    final_norm_ = norm(context, context.name + ".final_norm");
  }

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    expect_shape(input.x, {-1, -1, channels_}, "transformer: x [B, T, C]");
    const Frame frame = frame_of(input);
    at::Tensor x = input.x;
    for (size_t l = 0; l < layers_.size(); ++l) {
      const Layer& layer = layers_[l];
      const at::Tensor normed = layer.attention_norm->forward(x, {}, input.lengths, context, {});
      x = x + ended(attention(layer, normed, frame, context), input.lengths, context, 2 * l);
      const at::Tensor second = layer.ff_norm->forward(x, {}, input.lengths, context, {});
      const Epilogue activation{options_.activation, {}};
      const at::Tensor hidden = fused_gate(layer.ff1(context, second), {}, {}, input.lengths, activation);
      x = x + ended(layer.ff2(context, hidden), input.lengths, context, 2 * l + 1);
    }
    return {final_norm_->forward(x, {}, input.lengths, context, {}), input.lengths};
  }
  int64_t output_length(int64_t length) const override { return length; }
  int64_t output_channels() const override { return channels_; }

 private:
  struct Linear {
    at::Tensor weight;
    at::Tensor bias;
    at::Tensor operator()(const ForwardContext& context, const at::Tensor& x) const {
      return mixed_linear(context, x, weight, bias);
    }
  };
  struct Layer {
    std::unique_ptr<Norm> attention_norm, ff_norm;
    Linear qkv, out, ff1, ff2;
  };
  // What the layers of one pass share.
  struct Frame {
    at::Tensor cosine;  // [T, d / 2]
    at::Tensor sine;
    at::Tensor bias;  // [B, 1, 1, T]: 0 for real frames, −∞ for padding
  };

  static std::unique_ptr<Norm> norm(const Context& context, const std::string& name) {
    return Norm::create(NormOptions{}, context, name, context.input_channels);
  }
  static Linear linear(ParameterStore& store, const std::string& name, int64_t outputs, int64_t inputs) {
    return {store.weight(name + ".weight", {outputs, inputs}, inputs), store.constant(name + ".bias", {outputs}, 0)};
  }

  Frame frame_of(const Sequence& input) const {
    const int64_t half = channels_ / options_.heads / 2;
    const at::TensorOptions options = input.x.options().dtype(at::kDouble);
    const at::Tensor rates = at::exp(at::arange(half, options) * (-std::log(10000.0) / static_cast<double>(half)));
    const at::Tensor angles = at::outer(at::arange(input.x.size(1), options), rates);
    std::vector<int64_t> visible;  // an empty utterance attends to its first frame, so that no softmax is empty
    for (int64_t length : input.lengths) visible.push_back(std::max<int64_t>(1, length));
    const at::Tensor mask = frame_mask(input.x, visible).transpose(1, 2).unsqueeze(1);
    return {angles.cos().to(input.x.scalar_type()), angles.sin().to(input.x.scalar_type()), mask.log()};
  }

  at::Tensor attention(const Layer& layer, const at::Tensor& x, const Frame& frame,
                       const ForwardContext& context) const {
    const int64_t batch = x.size(0);
    const int64_t frames = x.size(1);
    const at::Tensor qkv = layer.qkv(context, x).view({batch, frames, 3, options_.heads, channels_ / options_.heads});
    const std::vector<at::Tensor> parts = qkv.permute({2, 0, 3, 1, 4}).unbind(0);  // [B, H, T, d]
    const at::Tensor query = RotaryFunction::apply(parts[0], frame.cosine, frame.sine);
    const at::Tensor key = RotaryFunction::apply(parts[1], frame.cosine, frame.sine);
    const at::Tensor mixed = mixed_attention(context, query, key, parts[2], frame.bias);
    return layer.out(context, mixed.transpose(1, 2).reshape({batch, frames, channels_}));
  }

  at::Tensor ended(const at::Tensor& x, const std::vector<int64_t>& lengths, const ForwardContext& context,
                   uint64_t site) const {
    return fused_gate(x, {}, {}, lengths, Epilogue::of(Activation::kNone, options_.dropout, context, index_, site));
  }

  Options options_;
  int64_t channels_;
  uint64_t index_;
  std::vector<Layer> layers_;
  std::unique_ptr<Norm> final_norm_;
};

REHEARSE_REGISTER(Block, "transformer", TransformerBlock);

}  // namespace
}  // namespace rehearse
