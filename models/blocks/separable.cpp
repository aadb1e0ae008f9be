#include "models/norm.h"
#include "models/ops/mixed_ops.h"
#include "models/ops/path_drop.h"
#include "models/ops/products/product.h"
#include "models/ops/strided_conv.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

// Depthwise-separable convolutions with squeeze-and-excitation and a residual (QuartzNet, Citrinet).
class SeparableBlock : public Block {
 public:
  struct Options {
    int64_t channels = 256;
    int64_t kernel = 13;
    int64_t stride = 1;
    bool strides_last = false;  // stride_at: last
    int64_t dilation = 1;
    int64_t repeat = 1;
    int64_t squeeze_excite = 8;
    bool residual = true;
    bool projects_always = false;  // shortcut: projected
    bool has_bias = true;
    double drop_path = 0;
    LayerEnd end;

    static Options from(ConfigNode& node) {
      Options options;
      options.channels = node.integer("channels", options.channels, {1, 1 << 16});
      options.kernel = odd_kernel_from(node, options.kernel);
      options.stride = node.integer("stride", options.stride, {1, 64});
      options.strides_last = node.choice("stride_at", "first", {"first", "last"}) == "last";
      options.dilation = node.integer("dilation", options.dilation, {1, 64});
      options.repeat = node.integer("repeat", options.repeat, {1, 32});
      options.squeeze_excite = node.integer("squeeze_excite", options.squeeze_excite, {0, 1024});
      if (options.squeeze_excite > options.channels)
        node.fail("squeeze_excite", concat("expected at most the number of channels, ", options.channels, "; found ",
                                           options.squeeze_excite));
      options.residual = node.boolean("residual", options.residual);
      options.projects_always = node.choice("shortcut", "plain", {"plain", "projected"}) == "projected";
      options.has_bias = node.boolean("bias", options.has_bias);
      if (options.residual) options.drop_path = drop_path_from(node);
      options.end = LayerEnd::from(node);
      return options;
    }
  };
  static constexpr const char* kExample =
      "{type: separable, channels: 24, kernel: 7, stride: 2, repeat: 2, squeeze_excite: 4, dropout: 0.2}";

  SeparableBlock(const Options& options, const Context& context) : options_(options), index_(context.index) {
    ParameterStore& store = *context.store;
    const std::string name = context.name + ".";
    int64_t channels = context.input_channels;
    for (int64_t r = 0; r < options.repeat; ++r) {
      Repeat repeat;
      repeat.stride = r == (options.strides_last ? options.repeat - 1 : 0) ? options.stride : 1;
      repeat.depthwise =
          store.weight(concat(name, "depthwise.", r, ".weight"), {options.kernel, channels}, options.kernel);
      repeat.pointwise = store.weight(concat(name, "pointwise.", r, ".weight"), {options.channels, channels}, channels);
      if (options.has_bias) repeat.bias = store.constant(concat(name, "pointwise.", r, ".bias"), {options.channels}, 0);
      repeat.norm = Norm::create(options.end.norm, context, concat(name, "norm.", r), options.channels);
      repeats_.push_back(std::move(repeat));
      channels = options.channels;
    }
    if (options.squeeze_excite > 0) create_squeeze_excite(store, name);
    if (options.residual) create_shortcut(context, name);
  }

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    Sequence sequence = input;
    at::Tensor beside = input.x;  // for the shortcut
    for (size_t r = 0; r < repeats_.size(); ++r) {
      const Depthwise filtered = depthwise_conv_beside(sequence.x, repeats_[r].depthwise, sequence.lengths,
                                                       repeats_[r].stride, options_.dilation);
      if (r == 0) beside = filtered.x;
      sequence = {filtered.y, strided_lengths(sequence.lengths, repeats_[r].stride)};
      if (r + 1 < repeats_.size())
        sequence.x = pointwise(repeats_[r], sequence, context, options_.end.epilogue(context, index_, r));
    }
    const Repeat& last = repeats_.back();
    std::optional<at::Tensor> gate;
    std::optional<at::Tensor> residual;
    if (options_.residual) residual = shortcut(beside, sequence.lengths, context);
    if (options_.squeeze_excite > 0) {
      const FrameMeans normed = last.norm->forward_and_mean(mixed(last, sequence, context), last.optional_bias(),
                                                            sequence.lengths, context, {});
      sequence.x = normed.y;
      gate = excitation(normed.mean);
    } else {
      sequence.x = pointwise(last, sequence, context, {});
    }
    if (const at::Tensor path = path_factors(sequence.x, options_.drop_path, context, index_, 0); path.defined())
      gate = gate ? *gate * path.unsqueeze(1) : path.unsqueeze(1).expand({-1, options_.channels});
    sequence.x = fused_gate(sequence.x, gate, residual, sequence.lengths,
                            options_.end.epilogue(context, index_, repeats_.size() - 1));
    return sequence;
  }
  int64_t output_length(int64_t length) const override { return strided_length(length, options_.stride); }
  int64_t output_channels() const override { return options_.channels; }
  int64_t stride() const override { return options_.stride; }

 private:
  struct Repeat {
    int64_t stride = 1;
    at::Tensor depthwise;  // [K, C]
    at::Tensor pointwise;  // [O, C]
    at::Tensor bias;       // [O] or undefined
    std::unique_ptr<Norm> norm;

    std::optional<at::Tensor> optional_bias() const { return bias.defined() ? std::optional(bias) : std::nullopt; }
  };

  // Plain: a projection where shapes differ. Projected: one with a norm in every block, as the published networks have.
  void create_shortcut(const Context& context, const std::string& name) {
    const int64_t inputs = context.input_channels, outputs = options_.channels;
    if (!options_.projects_always && inputs == outputs && options_.stride == 1) return;
    residual_ = context.store->weight(name + "residual.weight", {outputs, inputs}, inputs);
    if (options_.projects_always)
      residual_norm_ = Norm::create(options_.end.norm, context, name + "residual_norm", outputs);
    else
      residual_bias_ = context.store->constant(name + "residual.bias", {outputs}, 0);
  }

  void create_squeeze_excite(ParameterStore& store, const std::string& name) {
    const int64_t channels = options_.channels;
    const int64_t squeezed = channels / options_.squeeze_excite;
    squeeze_ = store.weight(name + "squeeze.weight", {squeezed, channels}, channels, 2);
    squeeze_bias_ = store.constant(name + "squeeze.bias", {squeezed}, 0);
    excite_ = store.weight(name + "excite.weight", {channels, squeezed}, squeezed);
    excite_bias_ = store.constant(name + "excite.bias", {channels}, 0);
  }

  // The bias is added inside the norm's pass.
  at::Tensor mixed(const Repeat& repeat, const Sequence& filtered, const ForwardContext& context) const {
    return mixed_linear(context, filtered.x, repeat.pointwise, {});
  }
  at::Tensor pointwise(const Repeat& repeat, const Sequence& filtered, const ForwardContext& context,
                       const Epilogue& epilogue) const {
    return repeat.norm->forward(mixed(repeat, filtered, context), repeat.optional_bias(), filtered.lengths, context,
                                epilogue);
  }

  // Sigmoid gates [B, O] from the mean over real frames (Hu et al. 2018, over time).
  at::Tensor excitation(const at::Tensor& mean) const {
    const at::Tensor hidden = at::relu(product(mean, squeeze_, squeeze_bias_));
    return at::sigmoid(product(hidden, excite_, excite_bias_));
  }

  at::Tensor shortcut(const at::Tensor& x, const std::vector<int64_t>& lengths, const ForwardContext& context) const {
    if (!residual_.defined()) return x;
    const at::Tensor kept = options_.stride == 1 ? x : x.slice(1, 0, x.size(1), options_.stride);
    const at::Tensor projected = mixed_linear(context, kept, residual_, residual_bias_);
    return residual_norm_ ? residual_norm_->forward(projected, {}, lengths, context, {}) : projected;
  }

  Options options_;
  uint64_t index_;
  std::vector<Repeat> repeats_;
  at::Tensor squeeze_, squeeze_bias_, excite_, excite_bias_;
  at::Tensor residual_, residual_bias_;
  std::unique_ptr<Norm> residual_norm_;
};

REHEARSE_REGISTER(Block, "separable", SeparableBlock);

}  // namespace
}  // namespace rehearse
