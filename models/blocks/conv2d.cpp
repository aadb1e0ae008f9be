#include "models/norm.h"
#include "models/ops/mixed_ops.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Conv2dCall : torch::CustomClassHolder {
  int64_t width = 1;             // of x
  std::vector<int64_t> lengths;  // [B] rows of the result
  int64_t stride = 1;
  int64_t padding = 0;
  bool has_relu = false;
};

// [B, H, W, c] as libtorch names it, [B, c, H, W]: its channels-last layout, so nothing is copied.
at::Tensor channels_second(const at::Tensor& x) {
  return x.permute({0, 3, 1, 2});
}
at::Tensor channels_last(const at::Tensor& x) {
  return x.permute({0, 2, 3, 1}).contiguous();
}
at::Tensor picture_of(const at::Tensor& frames, int64_t width) {
  return channels_second(frames.unflatten(2, {width, -1}));
}

// x [B, H, W I], weight [O, k, k, I], bias [O] or none -> [B, H', W' O]; with the relu on top where it is asked for:
// its gradient needs the result alone, which the next block keeps anyway.
struct Conv2dFunction : torch::autograd::Function<Conv2dFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const c10::intrusive_ptr<Conv2dCall>& call) {
    const at::AutoDispatchBelowAutograd below;
    at::Tensor y = convolved(picture_of(x, call->width), weight, bias, *call);
    if (call->has_relu) {
      y.relu_();
      for (int64_t b = 0; b < y.size(0); ++b) {
        const int64_t length = call->lengths[static_cast<size_t>(b)];
        if (length < y.size(1)) y[b].slice(0, length).zero_();
      }
    }
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    context->saved_data["has_bias"] = bias.has_value();
    context->saved_data["width"] = y.size(2);
    const at::Tensor frames = y.flatten(2);
    context->save_for_backward({x, weight, call->has_relu ? frames : at::Tensor()});
    return frames;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const Conv2dCall&>(*holder);
    const bool has_bias = context->saved_data["has_bias"].toBool();
    const at::Tensor slopes = call.has_relu ? before_relu(gradients[0], saved[2]) : gradients[0].contiguous();
    const at::Tensor dy = picture_of(slopes, context->saved_data["width"].toInt());
    const at::ScalarType type = dy.scalar_type(), safe = safe_type(dy, call);
    auto [dx, dweight, unused] = at::convolution_backward(
        dy.to(safe), picture_of(saved[0], call.width).to(safe), channels_second(saved[1]).to(safe),
        at::IntArrayRef({dy.size(1)}), at::IntArrayRef({call.stride, call.stride}),
        at::IntArrayRef({call.padding, call.padding}), at::IntArrayRef({1, 1}), /*transposed=*/false,
        at::IntArrayRef({0, 0}), /*groups=*/1, {context->needs_input_grad(0), context->needs_input_grad(1), false});
    if (dx.defined()) dx = dx.to(type);
    if (dweight.defined()) dweight = dweight.to(type);
    // The convolution would sum it twice as slowly.
    const at::Tensor dbias = has_bias ? dy.sum(at::IntArrayRef({0, 2, 3})) : at::Tensor();
    return {dx.defined() ? channels_last(dx).flatten(2) : dx, dweight.defined() ? channels_last(dweight) : dweight,
            dbias, at::Tensor()};
  }

 private:
  // Written over dy where nobody else holds it, as libtorch does when it adds gradients up.
  static at::Tensor before_relu(const at::Tensor& dy, const at::Tensor& y) {
    const bool is_free = dy.is_contiguous() && dy.use_count() == 1 && dy.storage().use_count() == 1;
    if (!is_free) return at::threshold_backward(dy.contiguous(), y, 0);
    at::Tensor result = dy;
    return at::threshold_backward_out(result, dy, y, 0);
  }

  static constexpr int64_t kSmallImage = 20480;  // elements: libtorch's own limit

  static at::Tensor convolved(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                              const Conv2dCall& call) {
    // Libtorch computes one small image on its own by another algorithm, whose last bits differ.
    const bool is_small = x.is_cpu() && x.size(0) == 1 && x.numel() <= kSmallImage;
    const at::ScalarType safe = safe_type(x, call);
    const at::Tensor images = (is_small ? x.expand({2, -1, -1, -1}) : x).to(safe);
    const std::optional<at::Tensor> safe_bias = bias ? std::optional(bias->to(safe)) : std::nullopt;
    const at::Tensor y =
        at::conv2d(images, channels_second(weight).to(safe), safe_bias, at::IntArrayRef({call.stride, call.stride}),
                   at::IntArrayRef({call.padding, call.padding}))
            .to(x.scalar_type());
    return channels_last(is_small ? y.slice(0, 0, 1) : y);
  }

  // On CPUs with bfloat16 matrix instructions (AMX) libtorch 2.11's strided convolutions of narrow pictures in bfloat16
  // are not a number, e.g. [2, 3, 30, 3] with 5 kernels of 3 x 3 and stride 3.
  static at::ScalarType safe_type(const at::Tensor& x, const Conv2dCall& call) {
    const at::ScalarType type = x.scalar_type();
    const bool is_low = type == at::kBFloat16 || type == at::kHalf;
    return x.is_cpu() && is_low && call.stride > 1 ? at::kFloat : type;
  }
};

// A frame is a row of a picture: its values are [W, c], the channel fastest.
class Conv2dBlock : public Block {
 public:
  struct Options {
    int64_t width = 1;
    int64_t channels = 32;
    int64_t kernel = 3;
    int64_t stride = 1;
    int64_t padding = 0;
    LayerEnd end;

    static Options from(ConfigNode& node) {
      Options options;
      options.width = node.required_integer("width", {1, 1 << 16});
      options.channels = node.integer("channels", options.channels, {1, 1 << 16});
      options.kernel = node.integer("kernel", options.kernel, {1, 255});
      options.stride = node.integer("stride", options.stride, {1, 64});
      if (node.choice("padding", "valid", {"valid", "same"}) == "same") {
        if (options.kernel % 2 == 0)
          node.fail("kernel", concat("expected an odd number with padding: same; found ", options.kernel));
        options.padding = options.kernel / 2;
      }
      if (options.width + 2 * options.padding < options.kernel)
        node.fail("kernel", concat("expected at most the width, ", options.width, "; found ", options.kernel));
      options.end = LayerEnd::from(node);
      return options;
    }
    int64_t output_size(int64_t size) const {
      return size > 0 && size + 2 * padding >= kernel ? (size + 2 * padding - kernel) / stride + 1 : 0;
    }
  };
  static constexpr const char* kExample = "{type: conv2d, width: 4, channels: 6, kernel: 2, stride: 2, dropout: 0.2}";

  Conv2dBlock(const Options& options, const Context& context) : options_(options), index_(context.index) {
    if (context.input_channels % options.width != 0)
      throw ConfigError(context.where, ".width: expected a divisor of the ", context.input_channels,
                        " values of a frame; found ", options.width);
    inputs_ = context.input_channels / options.width;
    const int64_t kernel = options.kernel;
    const std::string name = context.name + ".";
    weight_ = context.store->weight(name + "conv.weight", {options.channels, kernel, kernel, inputs_},
                                    kernel * kernel * inputs_, 2);
    bias_ = context.store->constant(name + "conv.bias", {options.channels}, 0);
    norm_ = Norm::create(options.end.norm, context, name + "norm", options.channels);
  }

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    const int64_t frames = input.x.size(1);
    expect_shape(input.x, {-1, -1, options_.width * inputs_}, "conv2d: x [B, T, W c]");
    at::Tensor x = input.x.contiguous();
    // Rows that a window can stand on; none of its results is kept.
    const int64_t missing = options_.kernel - 2 * options_.padding - frames;
    if (missing > 0) x = at::constant_pad_nd(x, {0, 0, 0, missing});
    std::vector<int64_t> lengths;
    for (int64_t length : input.lengths) lengths.push_back(output_length(length));
    const at::Tensor y = ended(x, lengths, context);
    return {missing > 0 ? y.slice(1, 0, 0) : y, lengths};
  }
  int64_t output_length(int64_t length) const override { return options_.output_size(length); }
  int64_t output_channels() const override { return options_.output_size(options_.width) * options_.channels; }
  int64_t stride() const override { return options_.stride; }

 private:
  // x [B, T, W I] -> [B, T', W' O] after norm, activation and dropout.
  at::Tensor ended(const at::Tensor& x, const std::vector<int64_t>& lengths, const ForwardContext& context) {
    const bool is_rounded = context.precision != Precision::kFull;
    auto call = c10::make_intrusive<Conv2dCall>();
    call->width = options_.width;
    call->lengths = lengths;
    call->stride = options_.stride;
    call->padding = options_.padding;
    call->has_relu = !is_rounded && options_.end.norm.kind == "none" && options_.end.activation == Activation::kRelu;
    Epilogue epilogue = options_.end.epilogue(context, index_, 0);
    if (call->has_relu) {
      const at::Tensor y = Conv2dFunction::apply(x, weight_, bias_, call);
      if (epilogue.dropout.empty()) return y;
      epilogue.activation = Activation::kNone;
      return fused_gate(y, {}, {}, lengths, epilogue);
    }
    const at::Tensor y =
        Conv2dFunction::apply(rounded(context, x), rounded_weight(context, weight_), std::nullopt, call)
            .to(x.scalar_type());
    // A position takes the place of a frame.
    const int64_t width = options_.output_size(options_.width);
    std::vector<int64_t> positions;
    for (int64_t length : lengths) positions.push_back(length * width);
    const at::Tensor flat = y.view({y.size(0), y.size(1) * width, options_.channels});
    return norm_->forward(flat, bias_, positions, context, epilogue).view(y.sizes());
  }

  Options options_;
  uint64_t index_;
  int64_t inputs_ = 1;
  at::Tensor weight_;  // [O, k, k, I]
  at::Tensor bias_;    // [O]
  std::unique_ptr<Norm> norm_;
};

REHEARSE_REGISTER(Block, "conv2d", Conv2dBlock);

}  // namespace
}  // namespace rehearse
