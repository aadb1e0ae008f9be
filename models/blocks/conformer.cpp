#include "models/attention.h"
#include "models/norm.h"
#include "models/ops/path_drop.h"
#include "models/ops/strided_conv.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

// The Conformer's encoder layers (Gulati et al., 2020): half a feed-forward, attention, convolution, half a
// feed-forward, each a pre-norm residual branch, then a layer norm.
class ConformerBlock : public Block {
 public:
  struct Options {
    int64_t layers = 1;
    int64_t heads = 4;
    int64_t ff = 1024;
    int64_t kernel = 31;
    Positions positions = Positions::kRelative;
    NormOptions norm;  // of the convolution
    double dropout = 0;
    double drop_path = 0;

    static Options from(ConfigNode& node) {
      Options options;
      options.layers = node.integer("layers", options.layers, {1, 128});
      options.heads = node.integer("heads", options.heads, {1, 128});
      options.ff = node.integer("ff", options.ff, {1, 1 << 18});
      options.kernel = odd_kernel_from(node, options.kernel);
      if (node.choice("positions", "relative", {"relative", "rotary"}) == "rotary")
        options.positions = Positions::kRotary;
      options.norm = NormOptions::from(node);
      options.dropout = dropout_from(node, options.dropout);
      options.drop_path = drop_path_from(node);
      return options;
    }
  };
  static constexpr const char* kExample =
      "{type: conformer, layers: 2, heads: 2, ff: 20, kernel: 5, dropout: 0.2, drop_path: 0.3}";

  ConformerBlock(const Options& options, const Context& context)
      : options_(options), channels_(context.input_channels), index_(context.index) {
    SelfAttention::expect_heads(shape(), context.where);
    for (int64_t l = 0; l < options.layers; ++l) layers_.push_back(layer_of(context, l));
  }

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    expect_shape(input.x, {-1, -1, channels_}, "conformer: x [B, T, C]");
    const SelfAttention::Frame frame = SelfAttention::frame_of(input, shape());
    Sequence sequence = input;
    for (size_t l = 0; l < layers_.size(); ++l) {
      const Layer& layer = layers_[l];
      const Pass pass{context, input.lengths, l};
      at::Tensor& x = sequence.x;
      x = at::add(x, fed_forward(layer.ff_in, x, pass, kFeedIn), 0.5);
      const at::Tensor normed = layer.attention_norm->forward(x, {}, input.lengths, context, {});
      x = x + ended(layer.attention(context, normed, frame), pass, kAttention);
      x = x + ended(convolved(layer.conv, x, pass), pass, kConvolution);
      x = at::add(x, fed_forward(layer.ff_out, x, pass, kFeedOut), 0.5);
      x = layer.norm->forward(x, {}, input.lengths, context, {});
    }
    return sequence;
  }
  int64_t output_length(int64_t length) const override { return length; }
  int64_t output_channels() const override { return channels_; }

 private:
  enum Site : uint64_t { kFeedIn, kFeedInHidden, kAttention, kConvolution, kFeedOut, kFeedOutHidden, kSites };
  struct FeedForward {
    std::unique_ptr<Norm> norm;
    Linear up, down;
  };
  struct Convolution {
    std::unique_ptr<Norm> norm;
    Linear up;                  // to twice the channels: values and gates
    at::Tensor depthwise;       // [K, C]
    at::Tensor depthwise_bias;  // [C]
    std::unique_ptr<Norm> inner_norm;
    Linear down;
  };
  struct Layer {
    FeedForward ff_in;
    std::unique_ptr<Norm> attention_norm;
    SelfAttention attention;
    Convolution conv;
    FeedForward ff_out;
    std::unique_ptr<Norm> norm;
  };
  struct Pass {
    const ForwardContext& context;
    const std::vector<int64_t>& lengths;
    uint64_t layer;
    uint64_t site(uint64_t of) const { return layer * kSites + of; }
  };

  SelfAttention::Shape shape() const { return {channels_, options_.heads, options_.positions}; }

  std::unique_ptr<Norm> layer_norm(const Context& context, const std::string& name) const {
    return Norm::create(NormOptions{}, context, name, channels_);
  }
  FeedForward feed_forward_of(const Context& context, const std::string& name) const {
    return {layer_norm(context, name + "norm"), Linear::create(*context.store, name + "up", options_.ff, channels_),
            Linear::create(*context.store, name + "down", channels_, options_.ff)};
  }
  Convolution convolution_of(const Context& context, const std::string& name) const {
    ParameterStore& store = *context.store;
    return {layer_norm(context, name + "norm"),
            Linear::create(store, name + "up", 2 * channels_, channels_),
            store.weight(name + "depthwise.weight", {options_.kernel, channels_}, options_.kernel),
            store.constant(name + "depthwise.bias", {channels_}, 0),
            Norm::create(options_.norm, context, name + "inner_norm", channels_),
            Linear::create(store, name + "down", channels_, channels_)};
  }
  Layer layer_of(const Context& context, int64_t index) const {
    const std::string name = concat(context.name, ".layers.", index, ".");
    return {feed_forward_of(context, name + "ff_in."),
            layer_norm(context, name + "attention_norm"),
            SelfAttention(*context.store, name + "attention.", shape()),
            convolution_of(context, name + "conv."),
            feed_forward_of(context, name + "ff_out."),
            layer_norm(context, name + "norm")};
  }

  at::Tensor fed_forward(const FeedForward& feed, const at::Tensor& x, const Pass& pass, Site site) const {
    const at::Tensor normed = feed.norm->forward(x, {}, pass.lengths, pass.context, {});
    const Epilogue hidden =
        Epilogue::of(Activation::kSilu, options_.dropout, pass.context, index_, pass.site(site + 1));
    const at::Tensor up = fused_gate(feed.up(pass.context, normed), {}, {}, pass.lengths, hidden);
    return ended(feed.down(pass.context, up), pass, site);
  }

  at::Tensor convolved(const Convolution& conv, const at::Tensor& x, const Pass& pass) const {
    const at::Tensor normed = conv.norm->forward(x, {}, pass.lengths, pass.context, {});
    const at::Tensor gated = at::glu(conv.up(pass.context, normed), 2);
    const at::Tensor filtered = depthwise_conv(gated, conv.depthwise, pass.lengths, 1, 1);
    const Epilogue silu{Activation::kSilu, {}};
    return conv.down(pass.context,
                     conv.inner_norm->forward(filtered, conv.depthwise_bias, pass.lengths, pass.context, silu));
  }

  // The end of a branch: dropout, the mask of its frames, and whether the utterance has the branch.
  at::Tensor ended(const at::Tensor& x, const Pass& pass, uint64_t site) const {
    const Epilogue end = Epilogue::of(Activation::kNone, options_.dropout, pass.context, index_, pass.site(site));
    const double rate =
        drop_path_of(options_.drop_path, static_cast<int64_t>(pass.layer), static_cast<int64_t>(layers_.size()));
    return path_drop(fused_gate(x, {}, {}, pass.lengths, end), rate, pass.context, index_, pass.site(site));
  }

  Options options_;
  int64_t channels_;
  uint64_t index_;
  std::vector<Layer> layers_;
};

REHEARSE_REGISTER(Block, "conformer", ConformerBlock);

}  // namespace
}  // namespace rehearse
