// The convolution of product.h. Utterances lie one behind the other in a padded copy, each at a multiple of the stride;
// row r of the operand begins at frame r · stride of it and holds K · I values, which overlap those of the next row.
#include <cstring>
#include <vector>

#include "models/kernels/transpose.h"
#include "models/ops/block_product.h"
#include "models/ops/product.h"
#include "models/torch_prelude.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Layout {
  int64_t batch, frames, inputs;    // of x
  int64_t outputs, kernel, stride;  // of the weight
  int64_t padding() const { return kernel / 2; }
  int64_t output_frames() const { return frames > 0 ? (frames - 1) / stride + 1 : 0; }
  // Rows of the operand that an utterance takes; those beyond its output frames are read by nobody.
  int64_t rows() const { return (frames + 2 * padding() + stride - 1) / stride; }
  int64_t padded_frames() const { return rows() * stride; }
  int64_t step() const { return stride * inputs; }
  int64_t taps() const { return kernel * inputs; }

  static Layout of(at::IntArrayRef x, at::IntArrayRef weight, int64_t stride) {
    return {x[0], x[1], x[2], weight[0], weight[1], stride};
  }
};

at::Tensor padded_copy(const at::Tensor& x, const Layout& a) {
  at::Tensor padded = at::empty({a.batch * a.padded_frames(), a.inputs}, x.options());
  const float* from = x.const_data_ptr<float>();
  float* to = padded.mutable_data_ptr<float>();
  const int64_t before = a.padding() * a.inputs, real = a.frames * a.inputs, whole = a.padded_frames() * a.inputs;
  at::parallel_for(0, a.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      float* row = to + b * whole;
      std::memset(row, 0, before * sizeof(float));
      std::memcpy(row + before, from + b * real, real * sizeof(float));
      std::memset(row + before + real, 0, (whole - before - real) * sizeof(float));
    }
  });
  return padded;
}

at::Tensor convolved(const at::Tensor& padded, const at::Tensor& weight, const Layout& a) {
  at::Tensor turned = at::empty({a.taps(), a.outputs}, weight.options());
  transpose(weight.const_data_ptr<float>(), a.taps(), a.outputs, a.taps(), turned.mutable_data_ptr<float>(), a.outputs);
  at::Tensor y = at::empty({a.batch, a.output_frames(), a.outputs}, padded.options());
  const float* from = padded.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  const auto utterance = [&](int64_t b) {
    return BlockProduct{a.output_frames(),
                        a.outputs,
                        a.taps(),
                        {from + b * a.rows() * a.step(), a.step()},
                        {turned.const_data_ptr<float>(), a.outputs},
                        {to + b * y.stride(0), a.outputs},
                        false};
  };
  if (a.batch < at::get_num_threads()) {
    for (int64_t b = 0; b < a.batch; ++b) multiply_on_threads(utterance(b));
    return y;
  }
  at::parallel_for(0, a.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) multiply(utterance(b));
  });
  return y;
}

// Each tap adds its products to the frames that it saw, `stride` apart.
at::Tensor grad_input(const at::Tensor& dy, const at::Tensor& weight, const Layout& a) {
  at::Tensor padded = at::zeros({a.batch, a.padded_frames(), a.inputs}, dy.options());
  const float* slope = dy.const_data_ptr<float>();
  const float* taps = weight.const_data_ptr<float>();
  float* to = padded.mutable_data_ptr<float>();
  at::parallel_for(0, a.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t k = 0; k < a.kernel; ++k)
        multiply({a.output_frames(),
                  a.inputs,
                  a.outputs,
                  {slope + b * dy.stride(0), a.outputs},
                  {taps + k * a.inputs, a.taps()},
                  {to + b * padded.stride(0) + k * a.inputs, a.step()},
                  true});
  });
  return padded.narrow(1, a.padding(), a.frames).contiguous();
}

// Over the rows of all utterances, in parts of kInnerPart in order; threads share the outputs.
at::Tensor grad_weight(const at::Tensor& dy, const at::Tensor& padded, const at::Tensor& weight, const Layout& a) {
  constexpr int64_t kOutputsEach = 128;
  at::Tensor dweight = at::zeros(weight.sizes(), weight.options());
  const float* slope = dy.const_data_ptr<float>();
  const float* from = padded.const_data_ptr<float>();
  float* to = dweight.mutable_data_ptr<float>();
  at::parallel_for(0, (a.outputs + kOutputsEach - 1) / kOutputsEach, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> turned(static_cast<size_t>(kOutputsEach * kInnerPart));
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kOutputsEach, count = std::min(kOutputsEach, a.outputs - first);
      for (int64_t b = 0; b < a.batch; ++b)
        for (int64_t t = 0; t < a.output_frames(); t += kInnerPart) {
          const int64_t inner = std::min(kInnerPart, a.output_frames() - t);
          transpose(slope + b * dy.stride(0) + t * a.outputs + first, a.outputs, inner, count, turned.data(),
                    kInnerPart);
          multiply({count,
                    a.taps(),
                    inner,
                    {turned.data(), kInnerPart},
                    {from + (b * a.rows() + t) * a.step(), a.step()},
                    {to + first * a.taps(), a.taps()},
                    true});
        }
    }
  });
  return dweight;
}

struct ConvolutionFunction : torch::autograd::Function<ConvolutionFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
    const Layout layout = Layout::of(x.sizes(), weight.sizes(), stride);
    const at::Tensor padded = padded_copy(x, layout);
    context->save_for_backward({padded, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["shape"] = x.sizes().vec();
    return convolved(padded, weight, layout);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::vector<int64_t> shape = context->saved_data["shape"].toIntVector();
    const Layout layout = Layout::of(shape, saved[1].sizes(), context->saved_data["stride"].toInt());
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx, dweight;
    if (context->needs_input_grad(0)) dx = grad_input(dy, saved[1], layout);
    if (context->needs_input_grad(1)) dweight = grad_weight(dy, saved[0], saved[1], layout);
    return {dx, dweight, at::Tensor()};
  }
};

}  // namespace

bool has_fast_convolution(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && product_library() == ProductLibrary::kOneDnn;
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  return ConvolutionFunction::apply(x.contiguous(), weight.contiguous(), stride);
}

}  // namespace rehearse
