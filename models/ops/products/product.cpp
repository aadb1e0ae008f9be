#include "models/ops/products/product.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "models/kernels/transpose.h"
#include "models/observed_cost.h"
#include "models/ops/products/block_product.h"
#include "models/torch_prelude.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

ProductLibrary& chosen() {
  static ProductLibrary library = has_block_products() ? ProductLibrary::kOneDnn : ProductLibrary::kMkl;
  return library;
}

bool is_by_blocks(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && chosen() == ProductLibrary::kOneDnn;
}

ConstRows rows_of(const at::Tensor& matrix) {
  return {matrix.const_data_ptr<float>(), matrix.stride(0)};
}

// Its rows may be apart, their values not.
at::Tensor in_rows(const at::Tensor& matrix) {
  return matrix.stride(1) == 1 || matrix.size(1) == 1 ? matrix : matrix.contiguous();
}

at::Tensor multiplied(const at::Tensor& a, const Operand& b) {
  at::Tensor c = at::empty({a.size(0), b.columns}, a.options());
  multiply_on_threads(rows_of(a), a.size(0), b, {c.mutable_data_ptr<float>(), c.size(1)}, false);
  return c;
}

Operand transposed(const at::Tensor& weight, bool is_rounded) {
  return Operand::of_transpose(rows_of(weight), weight.size(1), weight.size(0), is_rounded);
}

double flops(const at::Tensor& x, const at::Tensor& weight) {
  return 2.0 * static_cast<double>(x.size(0)) * static_cast<double>(weight.numel());
}

struct ProductFunction : torch::autograd::Function<ProductFunction> {
  // x [R, I], weight [O, I]
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, bool is_rounded,
                            ProductOperands* operands) {
    REHEARSE_COUNTS_FLOPS(flops(x, weight));
    context->save_for_backward({x, weight});
    context->saved_data["is_rounded"] = is_rounded;
    return multiplied(x, operands ? operands->transposed(weight, is_rounded) : transposed(weight, is_rounded));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const bool is_rounded = context->saved_data["is_rounded"].toBool();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor dy = in_rows(gradients[0]);
    const int64_t outputs = weight.size(0), inputs = weight.size(1);
    at::Tensor dx, dweight;
    REHEARSE_COUNTS_FLOPS(flops(x, weight) * (static_cast<int>(context->needs_input_grad(0)) +
                                              static_cast<int>(context->needs_input_grad(1))));
    if (context->needs_input_grad(0)) dx = multiplied(dy, Operand::of(rows_of(weight), outputs, inputs, is_rounded));
    if (context->needs_input_grad(1)) {
      dweight = at::empty(weight.sizes(), weight.options());
      if (x.size(0) == 0) dweight.zero_();
      multiply_transposed(
          {x.size(0), outputs, inputs, rows_of(dy), rows_of(x), {dweight.mutable_data_ptr<float>(), inputs}},
          is_rounded);
    }
    return {dx, dweight, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

std::string name_of(ProductLibrary library) {
  return library == ProductLibrary::kMkl ? "mkl" : "onednn";
}

ProductLibrary product_library() {
  return chosen();
}

void choose_product_library(ProductLibrary library) {
  REHEARSE_CHECK(library != ProductLibrary::kOneDnn || has_block_products(), "oneDNN has no blocks for this processor");
  chosen() = library;
}

ProductSpeed measure_products() {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kRows = 1024, kSide = 256;
  constexpr int kTimes = 5;
  const at::NoGradGuard no_gradients;
  const at::Tensor x = at::ones({kRows, kSide}), weight = at::ones({kSide, kSide});
  const auto gflops = [&](const auto& once) {
    double best = 0;
    for (int i = 0; i < kTimes; ++i) {
      const Clock::time_point start = Clock::now();
      once();
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      best = std::max(best, 2e-9 * kRows * kSide * kSide / seconds);
    }
    return best;
  };
  ProductSpeed speed;
  speed.mkl_gflops = gflops([&] { at::mm(x, weight.t()); });
  if (has_block_products()) speed.one_dnn_gflops = gflops([&] { multiplied(x, transposed(weight, false)); });
  return speed;
}

const Operand& ProductOperands::transposed(const at::Tensor& weight, bool is_rounded) {
  Operand& operand = by_place_[weight.const_data_ptr()];
  if (!operand.data || operand.is_rounded != is_rounded) operand = rehearse::transposed(weight, is_rounded);
  return operand;
}

bool multiplies_by_blocks(const at::Tensor& x, bool is_rounded) {
  return is_by_blocks(x) && (!is_rounded || has_rounded_block_products());
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool is_rounded,
                   ProductOperands* operands) {
  if (!multiplies_by_blocks(x, is_rounded)) {
    REHEARSE_CHECK(!is_rounded, "only blocks round their operands");
    return at::linear(x, weight, bias);
  }
  operands = ProductOperands::fit_for(operands, weight);
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  const at::Tensor rows = in_rows(x.reshape({-1, weight.size(1)}));
  const at::Tensor y = ProductFunction::apply(rows, in_rows(weight), is_rounded, operands).view(shape);
  return bias.defined() ? y + bias : y;
}

}  // namespace rehearse
