// The convolution of product.h. A padded copy holds the utterances one behind the other, each at a multiple of the
// stride and with zeros after it that the next one shares. Row r of the operand begins at frame r · stride of the copy
// and holds K · I values, which overlap those of the next row; so all utterances are one product.
#include <cstring>
#include <vector>

#include "models/observed_cost.h"
#include "models/ops/products/block_product.h"
#include "models/ops/products/product.h"
#include "models/torch_prelude.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Layout {
  int64_t batch, frames, inputs;    // of x
  int64_t outputs, kernel, stride;  // of the weight
  int64_t padding() const { return kernel / 2; }
  int64_t output_frames() const { return frames > 0 ? (frames - 1) / stride + 1 : 0; }
  // Rows of the operand that an utterance takes; those beyond its output frames are used by nobody.
  int64_t rows_each() const { return (frames + padding() + stride - 1) / stride; }
  int64_t rows() const { return batch * rows_each(); }
  int64_t step() const { return stride * inputs; }
  int64_t taps() const { return kernel * inputs; }
  double flops() const { return 2.0 * static_cast<double>(batch * output_frames() * outputs * taps()); }

  static Layout of(at::IntArrayRef x, at::IntArrayRef weight, int64_t stride) {
    return {x[0], x[1], x[2], weight[0], weight[1], stride};
  }
};

// [lead of zeros, then rows_each · stride frames an utterance, then what the last row reaches over]
at::Tensor padded_frames(const Layout& a, const at::TensorOptions& options) {
  return at::empty({(a.rows() * a.stride + a.kernel) * a.inputs}, options);
}

at::Tensor padded_copy(const at::Tensor& x, const Layout& a) {
  at::Tensor padded = padded_frames(a, x.options());
  const float* from = x.const_data_ptr<float>();
  float* to = padded.mutable_data_ptr<float>();
  const int64_t real = a.frames * a.inputs, whole = a.rows_each() * a.step(), lead = a.padding() * a.inputs;
  std::memset(to, 0, lead * sizeof(float));
  to += lead;
  at::parallel_for(0, a.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      std::memcpy(to + b * whole, from + b * real, real * sizeof(float));
      std::memset(to + b * whole + real, 0, (whole - real) * sizeof(float));
    }
  });
  std::memset(to + a.batch * whole, 0, (padded.numel() - lead - a.batch * whole) * sizeof(float));
  return padded;
}

// Rows [first, first + count) of all utterances' into `rows` [count, O], then those in use to where they belong.
void copy_used(const Layout& a, const float* rows, int64_t first, int64_t count, float* y) {
  const int64_t used = a.output_frames();
  for (int64_t row = first; row < first + count;) {
    const int64_t b = row / a.rows_each(), t = row % a.rows_each();
    const int64_t whole = std::min(a.rows_each() - t, first + count - row);
    const int64_t wanted = std::min(whole, used - t);
    if (wanted > 0)
      std::memcpy(y + (b * used + t) * a.outputs, rows + (row - first) * a.outputs, wanted * a.outputs * sizeof(float));
    row += whole;
  }
}

at::Tensor convolved(const at::Tensor& padded, const at::Tensor& weight, const Layout& a, bool is_rounded,
                     ProductOperands* operands) {
  constexpr int64_t kRowsEach = 256;
  const Operand taps =
      operands ? operands->transposed(weight.view({a.outputs, a.taps()}), is_rounded)
               : Operand::of_transpose({weight.const_data_ptr<float>(), a.taps()}, a.taps(), a.outputs, is_rounded);
  at::Tensor y = at::empty({a.batch, a.output_frames(), a.outputs}, padded.options());
  const float* from = padded.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  at::parallel_for(0, (a.rows() + kRowsEach - 1) / kRowsEach, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = at::empty({kRowsEach, a.outputs}, padded.options());
    float* rows = scratch.mutable_data_ptr<float>();
    for (int64_t first = begin * kRowsEach; first < std::min(a.rows(), end * kRowsEach); first += kRowsEach) {
      const int64_t count = std::min(kRowsEach, a.rows() - first);
      multiply({from + first * a.step(), a.step()}, count, taps, {rows, a.outputs}, false);
      copy_used(a, rows, first, count, to);
    }
  });
  return y;
}

// dy where the rows of the operand are; zero in those that nobody used.
at::Tensor slopes_in_rows(const at::Tensor& dy, const Layout& a) {
  at::Tensor rows = at::empty({a.rows(), a.outputs}, dy.options());
  const float* from = dy.const_data_ptr<float>();
  float* to = rows.mutable_data_ptr<float>();
  const int64_t real = a.output_frames() * a.outputs, whole = a.rows_each() * a.outputs;
  for (int64_t b = 0; b < a.batch; ++b) {
    std::memcpy(to + b * whole, from + b * real, real * sizeof(float));
    std::memset(to + b * whole + real, 0, (whole - real) * sizeof(float));
  }
  return rows;
}

// Each tap adds its products to the frames that it saw, `stride` apart; in the order of taps for every frame.
at::Tensor grad_input(const at::Tensor& slopes, const at::Tensor& weight, const Layout& a, bool is_rounded) {
  at::Tensor padded = padded_frames(a, slopes.options()).zero_();
  const float* taps = weight.const_data_ptr<float>();
  float* to = padded.mutable_data_ptr<float>();
  for (int64_t k = 0; k < a.kernel; ++k)
    multiply_on_threads({slopes.const_data_ptr<float>(), a.outputs}, a.rows(),
                        Operand::of({taps + k * a.inputs, a.taps()}, a.outputs, a.inputs, is_rounded),
                        {to + k * a.inputs, a.step()}, true);
  const int64_t whole = a.rows_each() * a.step(), lead = a.padding() * a.inputs;
  return padded.as_strided({a.batch, a.frames, a.inputs}, {whole, a.inputs, 1}, lead).contiguous();
}

struct ConvolutionFunction : torch::autograd::Function<ConvolutionFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                            bool is_rounded, ProductOperands* operands) {
    const Layout layout = Layout::of(x.sizes(), weight.sizes(), stride);
    REHEARSE_COUNTS_FLOPS(layout.flops());
    const at::Tensor padded = padded_copy(x, layout);
    context->save_for_backward({padded, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["is_rounded"] = is_rounded;
    context->saved_data["shape"] = x.sizes().vec();
    return convolved(padded, weight, layout, is_rounded, operands);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<int64_t> shape = context->saved_data["shape"].toIntVector();
    const Layout layout = Layout::of(shape, saved[1].sizes(), context->saved_data["stride"].toInt());
    const at::Tensor slopes = slopes_in_rows(gradients[0].contiguous(), layout);
    const bool is_rounded = context->saved_data["is_rounded"].toBool();
    REHEARSE_COUNTS_FLOPS(layout.flops() * (static_cast<int>(context->needs_input_grad(0)) +
                                            static_cast<int>(context->needs_input_grad(1))));
    at::Tensor dx, dweight;
    if (context->needs_input_grad(0)) dx = grad_input(slopes, saved[1], layout, is_rounded);
    if (context->needs_input_grad(1)) {
      dweight = at::empty(saved[1].sizes(), saved[1].options());
      if (layout.rows() == 0) dweight.zero_();
      multiply_transposed({layout.rows(),
                           layout.outputs,
                           layout.taps(),
                           {slopes.const_data_ptr<float>(), layout.outputs},
                           {saved[0].const_data_ptr<float>(), layout.step()},
                           {dweight.mutable_data_ptr<float>(), layout.taps()}},
                          is_rounded);
    }
    return {dx, dweight, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, int64_t stride, bool is_rounded,
                       ProductOperands* operands) {
  REHEARSE_CHECK(multiplies_by_blocks(x, is_rounded), "libtorch has convolutions of its own for everything else");
  return ConvolutionFunction::apply(x.contiguous(), weight.contiguous(), stride, is_rounded,
                                    ProductOperands::fit_for(operands, weight));
}

}  // namespace rehearse
