#include "models/kernels/depthwise.h"
#include "models/observed_cost.h"
#include "models/ops/batch_pieces.h"
#include "models/ops/device_ops.h"
#include "models/ops/fused_ops.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kChannelsEach = 64;

struct DepthwiseCall : torch::CustomClassHolder {
  DepthwiseShape shape;
  std::vector<int64_t> lengths;

  // task(utterance, channels) over the batch.
  template <class Task>
  void for_each(const Task& task) const {
    const int64_t groups = num_groups();
    const int64_t longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
    for_each_piece(static_cast<int64_t>(lengths.size()) * groups, longest * kChannelsEach,
                   [&](int64_t i) { task(i / groups, range(i % groups)); });
  }
  // Of one product of the result's size with the taps.
  double flops(const at::Tensor& x) const {
    return 2.0 * static_cast<double>(x.size(0) * shape.output_frames(x.size(1)) * x.size(2) * shape.kernel);
  }
  int64_t num_groups() const { return (shape.channels + kChannelsEach - 1) / kChannelsEach; }
  ChannelRange range(int64_t group) const {
    return {group * kChannelsEach, std::min(shape.channels, (group + 1) * kChannelsEach)};
  }
};

struct DepthwiseFunction : torch::autograd::Function<DepthwiseFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const c10::intrusive_ptr<DepthwiseCall>& call) {
    const DepthwiseShape& shape = call->shape;
    REHEARSE_COUNTS_FLOPS(call->flops(x));
    context->save_for_backward({x, weight});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    if (!x.is_cpu()) return device_depthwise_forward(x, weight, call->lengths, shape);
    at::Tensor y = at::empty({x.size(0), shape.output_frames(x.size(1)), x.size(2)}, x.options());
    with_real_type(x, [&](auto zero) {
      using T = decltype(zero);
      const T* from = x.const_data_ptr<T>();
      const T* taps = weight.const_data_ptr<T>();
      T* to = y.mutable_data_ptr<T>();
      call->for_each([&](int64_t b, ChannelRange range) {
        depthwise_forward(from + b * x.stride(0), call->lengths[b], taps, to + b * y.stride(0), shape, range);
      });
      clear_padding<T>(y, strided_lengths(call->lengths, shape.stride));
    });
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const DepthwiseCall&>(*holder);
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx;
    at::Tensor dweight;
    if (context->needs_input_grad(0)) dx = grad_input(call, saved[0], saved[1], dy);
    if (context->needs_input_grad(1)) dweight = grad_weight(call, saved[0], saved[1], dy);
    return {dx, dweight, at::Tensor()};
  }

  static at::Tensor grad_input(const DepthwiseCall& call, const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& dy) {
    REHEARSE_COUNTS_FLOPS(call.flops(x));
    if (!x.is_cpu()) return device_depthwise_grad_input(x, weight, dy, call.lengths, call.shape);
    at::Tensor dx = at::empty(x.sizes(), x.options());
    with_real_type(x, [&](auto zero) {
      using T = decltype(zero);
      const T* from = dy.const_data_ptr<T>();
      const T* taps = weight.const_data_ptr<T>();
      T* to = dx.mutable_data_ptr<T>();
      call.for_each([&](int64_t b, ChannelRange range) {
        depthwise_grad_input(from + b * dy.stride(0), call.lengths[b], taps, to + b * dx.stride(0), call.shape, range);
      });
      clear_padding<T>(dx, call.lengths);
    });
    return dx;
  }

  // Utterances are added in order within a group of channels.
  static at::Tensor grad_weight(const DepthwiseCall& call, const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& dy) {
    REHEARSE_COUNTS_FLOPS(call.flops(x));
    if (!x.is_cpu()) return device_depthwise_grad_weight(x, weight, dy, call.lengths, call.shape);
    at::Tensor dweight = at::zeros(weight.sizes(), weight.options());
    with_real_type(x, [&](auto zero) {
      using T = decltype(zero);
      const T* from = x.const_data_ptr<T>();
      const T* slope = dy.const_data_ptr<T>();
      T* to = dweight.mutable_data_ptr<T>();
      for_each_piece(call.num_groups(), x.size(0) * x.size(1) * kChannelsEach, [&](int64_t group) {
        for (size_t b = 0; b < call.lengths.size(); ++b)
          depthwise_grad_weight(from + b * x.stride(0), slope + b * dy.stride(0), call.lengths[b], to, call.shape,
                                call.range(group));
      });
    });
    return dweight;
  }
};

}  // namespace

at::Tensor depthwise_conv(const at::Tensor& x, const at::Tensor& weight, const std::vector<int64_t>& lengths,
                          int64_t stride, int64_t dilation) {
  expect_shape(x, {static_cast<int64_t>(lengths.size()), -1, weight.size(1)}, "depthwise_conv: x [B, T, C]");
  auto call = c10::make_intrusive<DepthwiseCall>();
  call->shape = {weight.size(1), weight.size(0), stride, dilation};
  call->lengths = lengths;
  return DepthwiseFunction::apply(x.contiguous(), weight.contiguous(), call);
}

}  // namespace rehearse
