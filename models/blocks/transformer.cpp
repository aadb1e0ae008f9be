#include "models/attention.h"
#include "models/norm.h"
#include "models/ops/path_drop.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

// Pre-norm transformer encoder.
class TransformerBlock : public Block {
 public:
  struct Options {
    int64_t layers = 1;
    int64_t heads = 4;
    int64_t ff = 1024;
    double dropout = 0;
    double drop_path = 0;
    Activation activation = Activation::kSilu;

    static Options from(ConfigNode& node) {
      Options options;
      options.layers = node.integer("layers", options.layers, {1, 128});
      options.heads = node.integer("heads", options.heads, {1, 128});
      options.ff = node.integer("ff", options.ff, {1, 1 << 18});
      options.dropout = dropout_from(node, options.dropout);
      options.drop_path = drop_path_from(node);
      options.activation = activation_from(node, "silu");
      return options;
    }
  };
  static constexpr const char* kExample = "{type: transformer, layers: 2, heads: 2, ff: 40, dropout: 0.2}";

  TransformerBlock(const Options& options, const Context& context)
      : options_(options), channels_(context.input_channels), index_(context.index) {
    SelfAttention::expect_heads(shape(), context.where);
    ParameterStore& store = *context.store;
    for (int64_t l = 0; l < options.layers; ++l) {
      const std::string name = concat(context.name, ".layers.", l, ".");
      layers_.push_back({norm(context, name + "attention_norm"), SelfAttention(store, name, shape()),
                         norm(context, name + "ff_norm"), Linear::create(store, name + "ff1", options.ff, channels_),
                         Linear::create(store, name + "ff2", channels_, options.ff)});
    }
    final_norm_ = norm(context, context.name + ".final_norm");
  }

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    expect_shape(input.x, {-1, -1, channels_}, "transformer: x [B, T, C]");
    const SelfAttention::Frame frame = SelfAttention::frame_of(input, shape());
    at::Tensor x = input.x;
    for (size_t l = 0; l < layers_.size(); ++l) {
      const Layer& layer = layers_[l];
      const at::Tensor normed = layer.attention_norm->forward(x, {}, input.lengths, context, {});
      x = x + ended(layer.attention(context, normed, frame), input.lengths, context, 2 * l);
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
  struct Layer {
    std::unique_ptr<Norm> attention_norm;
    SelfAttention attention;
    std::unique_ptr<Norm> ff_norm;
    Linear ff1, ff2;
  };

  SelfAttention::Shape shape() const { return {channels_, options_.heads, Positions::kRotary}; }
  static std::unique_ptr<Norm> norm(const Context& context, const std::string& name) {
    return Norm::create(NormOptions{}, context, name, context.input_channels);
  }

  at::Tensor ended(const at::Tensor& x, const std::vector<int64_t>& lengths, const ForwardContext& context,
                   uint64_t site) const {
    const Epilogue end = Epilogue::of(Activation::kNone, options_.dropout, context, index_, site);
    const double rate =
        drop_path_of(options_.drop_path, static_cast<int64_t>(site), 2 * static_cast<int64_t>(layers_.size()));
    return path_drop(fused_gate(x, {}, {}, lengths, end), rate, context, index_, site);
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
