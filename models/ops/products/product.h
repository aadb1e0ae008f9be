// Every matrix product of a model: on a CPU by the library chosen for this process, on a device by libtorch's own.
// Equal rows give equal rows of the result, whatever is beside them and on any number of threads, as far as the library
// keeps that: oneDNN's blocks always (block_product.h), MKL for products of more than a few rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "models/ops/products/block_product.h"

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

// Whether the two functions below multiply float x by oneDNN's blocks, with operands rounded to bfloat16 or without.
bool multiplies_by_blocks(const at::Tensor& x, bool is_rounded);

// Weights as products read them: those of one update, made at its first micro-batch. Its owner clears it when weights
// change; from one thread.
class ProductOperands {
 public:
  void clear() { by_place_.clear(); }
  // Of the transpose of weight [O, K], by the place of its values; null for one whose place may soon be another's.
  static ProductOperands* fit_for(ProductOperands* operands, const at::Tensor& weight) {
    return weight.is_leaf() && weight.is_contiguous() ? operands : nullptr;
  }
  const Operand& transposed(const at::Tensor& weight, bool is_rounded);

 private:
  std::map<const void*, Operand> by_place_;
};

// x [..., I], weight [O, I], bias [O] or undefined -> [..., O]; differentiable. is_rounded: operands are rounded to
// bfloat16, in both gradients too, sums and results are float; with blocks only.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool is_rounded = false,
                   ProductOperands* operands = nullptr);

// x [B, T, I], weight [O, K, I] -> [B, T', O] with K / 2 zeros on both sides, T' = ⌊(T − 1) / stride⌋ + 1;
// differentiable. No row is copied for its taps: rows of the operand overlap. With blocks only.
at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, int64_t stride, bool is_rounded = false,
                       ProductOperands* operands = nullptr);

}  // namespace rehearse
