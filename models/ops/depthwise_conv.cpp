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
  // Fewer where threads would find no group; a channel's sums are its own, so its bits stay.
  int64_t channels_each() const {
    constexpr int64_t kLine = 16;
    const int64_t share = shape.channels / at::get_num_threads() / kLine * kLine;
    return std::clamp(share, kLine, kChannelsEach);
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

// One task for a group of channels: utterances are added in order, and what both gradients read is in a cache.
template <class T>
void cpu_gradients(const DepthwiseCall& call, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& dy,
                   const at::Tensor& base, at::Tensor& dx, at::Tensor& dweight) {
  const T* from = x.const_data_ptr<T>();
  const T* slope = dy.const_data_ptr<T>();
  const T* taps = weight.const_data_ptr<T>();
  const T* elsewhere = data_or_null<T>(base);
  T* to = dx.defined() ? dx.mutable_data_ptr<T>() : nullptr;
  T* to_weight = dweight.defined() ? dweight.mutable_data_ptr<T>() : nullptr;
  const auto batch = static_cast<int64_t>(call.lengths.size());
  const int64_t each = call.channels_each();
  for_each_piece((call.shape.channels + each - 1) / each, x.size(0) * x.size(1) * each, [&](int64_t group) {
    const ChannelRange range{group * each, std::min(call.shape.channels, (group + 1) * each)};
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t at = b * x.stride(0);
      const T* slopes = slope + b * dy.stride(0);
      if (to)
        depthwise_grad_input(slopes, call.lengths[b], taps, to + at, call.shape, range,
                             elsewhere ? elsewhere + at : nullptr);
      if (to_weight) depthwise_grad_weight(from + at, slopes, call.lengths[b], to_weight, call.shape, range);
    }
  });
  if (to) clear_padding<T>(dx, call.lengths);
}

struct DepthwiseFunction : torch::autograd::Function<DepthwiseFunction> {
  // {y, x}
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                               const c10::intrusive_ptr<DepthwiseCall>& call) {
    const DepthwiseShape& shape = call->shape;
    REHEARSE_COUNTS_FLOPS(call->flops(x));
    context->save_for_backward({x, weight});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    context->set_materialize_grads(false);
    if (!x.is_cpu()) return {device_depthwise_forward(x, weight, call->lengths, shape), x};
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
    return {y, x};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const DepthwiseCall&>(*holder);
    const at::Tensor &x = saved[0], &weight = saved[1];
    if (!gradients[0].defined()) return {gradients[1], at::Tensor(), at::Tensor()};
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor base = gradients[1], dx, dweight;
    const bool wants_dx = context->needs_input_grad(0), wants_dweight = context->needs_input_grad(1);
    REHEARSE_COUNTS_FLOPS(call.flops(x) * (static_cast<int>(wants_dx) + static_cast<int>(wants_dweight)));
    if (!x.is_cpu()) {
      if (wants_dx) dx = device_depthwise_grad_input(x, weight, dy, call.lengths, call.shape);
      if (wants_dx && base.defined()) dx = dx + base;
      if (wants_dweight) dweight = device_depthwise_grad_weight(x, weight, dy, call.lengths, call.shape);
      return {dx, dweight, at::Tensor()};
    }
    if (base.defined()) base = base.contiguous();
    if (wants_dx) dx = at::empty(x.sizes(), x.options());
    if (wants_dweight) dweight = at::zeros(weight.sizes(), weight.options());
    with_real_type(x, [&](auto zero) { cpu_gradients<decltype(zero)>(call, x, weight, dy, base, dx, dweight); });
    return {dx, dweight, at::Tensor()};
  }
};

}  // namespace

Depthwise depthwise_conv_beside(const at::Tensor& x, const at::Tensor& weight, const std::vector<int64_t>& lengths,
                                int64_t stride, int64_t dilation) {
  expect_shape(x, {static_cast<int64_t>(lengths.size()), -1, weight.size(1)}, "depthwise_conv: x [B, T, C]");
  auto call = c10::make_intrusive<DepthwiseCall>();
  call->shape = {weight.size(1), weight.size(0), stride, dilation};
  call->lengths = lengths;
  const variable_list results = DepthwiseFunction::apply(x.contiguous(), weight.contiguous(), call);
  return {results[0], results[1]};
}

at::Tensor depthwise_conv(const at::Tensor& x, const at::Tensor& weight, const std::vector<int64_t>& lengths,
                          int64_t stride, int64_t dilation) {
  return depthwise_conv_beside(x, weight, lengths, stride, dilation).y;
}

}  // namespace rehearse
