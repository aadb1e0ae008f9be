#include "models/ops/products/gathered_convolution.h"

#include "models/ops/fused_ops.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kMostBytes = int64_t{512} << 20;

struct Layout {
  int64_t batch, frames, inputs;    // of x
  int64_t outputs, kernel, stride;  // of the weight
  int64_t padding() const { return kernel / 2; }
  int64_t padded_frames() const { return frames + 2 * padding(); }
  int64_t output_frames() const { return strided_length(frames, stride); }
  int64_t rows() const { return batch * output_frames(); }
  int64_t taps() const { return kernel * inputs; }

  static Layout of(const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
    return {x.size(0), x.size(1), x.size(2), weight.size(0), weight.size(1), stride};
  }
};

// [B · T', K · I]
at::Tensor rows_of(const at::Tensor& x, const Layout& a) {
  const at::Tensor padded = at::constant_pad_nd(x, {0, 0, a.padding(), a.padding()});
  return padded
      .as_strided({a.batch, a.output_frames(), a.taps()}, {a.padded_frames() * a.inputs, a.stride * a.inputs, 1})
      .reshape({a.rows(), a.taps()});
}

// Every frame of x gets what the rows have of it, tap by tap; in float, whatever the rows are.
at::Tensor scattered(const at::Tensor& rows, const Layout& a) {
  const at::Tensor taps = rows.view({a.batch, a.output_frames(), a.kernel, a.inputs});
  const bool is_narrow = rows.scalar_type() == at::kBFloat16 || rows.scalar_type() == at::kHalf;
  const at::TensorOptions options = is_narrow ? rows.options().dtype(at::kFloat) : rows.options();
  at::Tensor padded = at::zeros({a.batch, a.padded_frames(), a.inputs}, options);
  const int64_t reach = a.stride * (a.output_frames() - 1) + 1;
  for (int64_t k = 0; k < a.kernel; ++k) padded.slice(1, k, k + reach, a.stride).add_(taps.select(2, k));
  return padded.slice(1, a.padding(), a.padding() + a.frames).to(rows.scalar_type()).contiguous();
}

struct GatheredConvolution : torch::autograd::Function<GatheredConvolution> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
    const Layout a = Layout::of(x, weight, stride);
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    return at::mm(rows_of(x, a), weight.reshape({a.outputs, a.taps()}).t())
        .view({a.batch, a.output_frames(), a.outputs});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const Layout a = Layout::of(x, weight, context->saved_data["stride"].toInt());
    const at::Tensor dy = gradients[0].reshape({a.rows(), a.outputs});
    at::Tensor dx, dweight;
    if (context->needs_input_grad(0)) dx = scattered(at::mm(dy, weight.reshape({a.outputs, a.taps()})), a);
    if (context->needs_input_grad(1)) dweight = at::mm(dy.t(), rows_of(x, a)).view(weight.sizes());
    return {dx, dweight, at::Tensor()};
  }
};

}  // namespace

bool can_gather(const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  const Layout a = Layout::of(x, weight, stride);
  return a.frames > 0 && a.rows() * a.taps() * static_cast<int64_t>(x.element_size()) <= kMostBytes;
}

at::Tensor gathered_convolution(const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  return GatheredConvolution::apply(x, weight, stride);
}

}  // namespace rehearse
