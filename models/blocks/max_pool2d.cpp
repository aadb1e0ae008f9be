#include "models/kernels/max_pool.h"
#include "models/ops/batch_pieces.h"
#include "models/ops/fused_ops.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct MaxPoolCall : torch::CustomClassHolder {
  MaxPoolShape shape;
  std::vector<int64_t> lengths;         // [B] of x
  std::vector<int64_t> output_lengths;  // [B]
  std::vector<int64_t> sizes;           // of x
};

// x [B, T, W c] -> [B, T', W' c], on the CPU.
struct MaxPoolFunction : torch::autograd::Function<MaxPoolFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const c10::intrusive_ptr<MaxPoolCall>& call) {
    const MaxPoolShape& shape = call->shape;
    call->sizes = x.sizes().vec();
    at::Tensor y = at::empty({x.size(0), shape.outputs(x.size(1)), shape.output_row()}, x.options());
    const at::Tensor best = at::empty(y.sizes(), x.options().dtype(at::kByte));
    context->save_for_backward({best});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    with_real_type(x, [&](auto zero) {
      using T = decltype(zero);
      const T* from = x.const_data_ptr<T>();
      T* to = y.mutable_data_ptr<T>();
      auto* place = best.mutable_data_ptr<uint8_t>();
      for_each_piece(x.size(0), x.size(1) * shape.row(), [&](int64_t b) {
        max_pool_forward(from + b * x.stride(0), call->lengths[static_cast<size_t>(b)], to + b * y.stride(0),
                         place + b * y.stride(0), shape);
      });
      clear_padding<T>(y, call->output_lengths);
    });
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor best = context->get_saved_variables()[0];
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const MaxPoolCall&>(*holder);
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx = at::empty(call.sizes, dy.options());
    with_real_type(dy, [&](auto zero) {
      using T = decltype(zero);
      const T* from = dy.const_data_ptr<T>();
      T* to = dx.mutable_data_ptr<T>();
      const auto* place = best.const_data_ptr<uint8_t>();
      for_each_piece(dx.size(0), dx.stride(0), [&](int64_t b) {
        max_pool_backward(from + b * dy.stride(0), place + b * dy.stride(0), call.lengths[static_cast<size_t>(b)],
                          to + b * dx.stride(0), call.shape);
      });
      clear_padding<T>(dx, call.lengths);
    });
    return {dx, at::Tensor()};
  }
};

// A frame is a row of a picture: its values are [W, c], the channel fastest.
class MaxPool2dBlock : public Block {
 public:
  struct Options {
    int64_t width = 1;
    int64_t size = 2;
    int64_t stride = 2;

    static Options from(ConfigNode& node) {
      Options options;
      options.width = node.required_integer("width", {1, 1 << 16});
      options.size = node.integer("size", options.size, {1, 16});
      options.stride = node.integer("stride", options.size, {1, 64});
      if (options.width < options.size)
        node.fail("size", concat("expected at most the width, ", options.width, "; found ", options.size));
      return options;
    }
  };
  static constexpr const char* kExample = "{type: max_pool2d, width: 4}";

  MaxPool2dBlock(const Options& options, const Context& context)
      : shape_{options.width, context.input_channels / options.width, options.size, options.stride} {
    if (context.input_channels % options.width != 0)
      throw ConfigError(context.where, ".width: expected a divisor of the ", context.input_channels,
                        " values of a frame; found ", options.width);
  }

  Sequence forward(const Sequence& input, const ForwardContext&) override {
    expect_shape(input.x, {-1, -1, shape_.row()}, "max_pool2d: x [B, T, W c]");
    auto call = c10::make_intrusive<MaxPoolCall>();
    call->shape = shape_;
    call->lengths = input.lengths;
    for (int64_t length : input.lengths) call->output_lengths.push_back(output_length(length));
    const at::Tensor x = input.x.contiguous();
    return {x.is_cpu() ? MaxPoolFunction::apply(x, call) : on_device(x, call->output_lengths), call->output_lengths};
  }
  int64_t output_length(int64_t length) const override { return shape_.outputs(length); }
  int64_t output_channels() const override { return shape_.output_row(); }
  int64_t stride() const override { return shape_.stride; }

 private:
  // Place by place, as the kernel does it: libtorch's own pooling adds its gradients on a device in any order.
  at::Tensor on_device(const at::Tensor& x, const std::vector<int64_t>& lengths) const {
    const int64_t batch = x.size(0), frames = x.size(1), stride = shape_.stride;
    if (shape_.outputs(frames) == 0) return x.slice(1, 0, 0).slice(2, 0, shape_.output_row());
    const int64_t last_row = (shape_.outputs(frames) - 1) * stride, last = (shape_.outputs(shape_.width) - 1) * stride;
    const at::Tensor picture = x.view({batch, frames, shape_.width, shape_.channels});
    at::Tensor y;
    for (int64_t i = 0; i < shape_.size; ++i)
      for (int64_t j = 0; j < shape_.size; ++j) {
        const at::Tensor other = picture.slice(1, i, i + last_row + 1, stride).slice(2, j, j + last + 1, stride);
        y = y.defined() ? at::where(other.gt(y).logical_or(other.isnan()), other, y) : other;
      }
    const at::Tensor rows = y.flatten(2);  // [B, T', W' c]
    return (rows * frame_mask(rows, lengths)).contiguous();
  }

  MaxPoolShape shape_;
};

REHEARSE_REGISTER(Block, "max_pool2d", MaxPool2dBlock);

}  // namespace
}  // namespace rehearse
