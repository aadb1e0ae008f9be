// Every matrix product of a model: on a CPU by the library chosen for this process, on a device by libtorch's own.
// Equal rows give equal rows of the result, whatever is beside them and on any number of threads, as far as the library
// keeps that: oneDNN's blocks always (block_product.h), MKL for products of more than a few rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace rehearse {

// Of float32 on a CPU.
enum class ProductLibrary { kMkl, kOneDnn };
std::string name_of(ProductLibrary library);  // "mkl", "onednn"

// Of this process: oneDNN where it has a microkernel for the processor, unless chosen otherwise. To be chosen before
// the first product, and the same on all ranks: it decides the last bits of results.
ProductLibrary product_library();
void choose_product_library(ProductLibrary library);

struct ProductSpeed {
  double mkl_gflops = 0;
  double one_dnn_gflops = 0;  // 0 where there is none
};
// On the calling thread alone, with the sizes of a training step; takes about 20 ms.
ProductSpeed measure_products();

// x [..., I], weight [O, I], bias [O] or undefined -> [..., O]; differentiable.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// x [B, T, I], weight [O, K, I] -> [B, T', O] with K / 2 zeros on both sides, T' = ⌊(T − 1) / stride⌋ + 1;
// differentiable. No row is copied for its taps: rows of the operand overlap. Float on a CPU with oneDNN only
// (has_fast_convolution).
at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, int64_t stride);
bool has_fast_convolution(const at::Tensor& x);

}  // namespace rehearse
