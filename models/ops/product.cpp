#include "models/ops/product.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "models/kernels/transpose.h"
#include "models/ops/block_product.h"
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

at::Tensor transposed(const at::Tensor& matrix) {
  at::Tensor result = at::empty({matrix.size(1), matrix.size(0)}, matrix.options());
  transpose(matrix.const_data_ptr<float>(), matrix.stride(0), matrix.size(0), matrix.size(1),
            result.mutable_data_ptr<float>(), matrix.size(0));
  return result;
}

// a [M, K] · b [K, N]
at::Tensor multiplied(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor c = at::empty({a.size(0), b.size(1)}, a.options());
  multiply_on_threads(
      {a.size(0), b.size(1), b.size(0), rows_of(a), rows_of(b), {c.mutable_data_ptr<float>(), c.size(1)}, false});
  return c;
}

struct ProductFunction : torch::autograd::Function<ProductFunction> {
  // x [R, I], weight [O, I]
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return multiplied(x, transposed(weight));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor dy = in_rows(gradients[0]);
    at::Tensor dx, dweight;
    if (context->needs_input_grad(0)) dx = multiplied(dy, weight);
    if (context->needs_input_grad(1)) {
      dweight = at::empty(weight.sizes(), weight.options());
      if (x.size(0) == 0) dweight.zero_();
      multiply_transposed(dy, weight.size(1), rows_of(x), {dweight.mutable_data_ptr<float>(), weight.size(1)});
    }
    return {dx, dweight};
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
  if (has_block_products()) speed.one_dnn_gflops = gflops([&] { multiplied(x, transposed(weight)); });
  return speed;
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!is_by_blocks(x)) return at::linear(x, weight, bias);
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  const at::Tensor rows = in_rows(x.reshape({-1, weight.size(1)}));
  const at::Tensor y = ProductFunction::apply(rows, in_rows(weight)).view(shape);
  return bias.defined() ? y + bias : y;
}

}  // namespace rehearse
