// Products of float matrices on a CPU, block by block with oneDNN's microkernel: our loops, its machine code. A row of
// the result depends on that row of the left operand alone, bit for bit: not on the other rows, their number or the
// threads. Operands may be rounded to bfloat16 on the way; sums and results are float.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace rehearse {

// Values of a row lie side by side, rows are `stride` apart; of operands they may overlap (stride < columns).
struct ConstRows {
  const float* data = nullptr;
  int64_t stride = 0;
};
struct MutableRows {
  float* data = nullptr;
  int64_t stride = 0;
};

// The right operand [inner, columns] as the microkernel reads it: rows of floats, or of pairs of bfloat16.
struct Operand {
  at::Tensor memory;  // what `data` points into, if it is a copy
  const void* data = nullptr;
  int64_t stride = 0;  // of a row of values or pairs
  int64_t inner = 0;
  int64_t columns = 0;
  bool is_rounded = false;

  // rows [inner, columns] as they are; not copied unless they are rounded.
  static Operand of(ConstRows rows, int64_t inner, int64_t columns, bool is_rounded);
  // The transpose of rows [columns, inner].
  static Operand of_transpose(ConstRows rows, int64_t inner, int64_t columns, bool is_rounded);
};

// c [rows, columns] = a [rows, inner] · b, or += where it adds. The sum over `inner` is made in parts of kInnerPart, in
// order. On the calling thread; the second shares the rows among threads.
constexpr int64_t kInnerPart = 512;
void multiply(ConstRows a, int64_t rows, const Operand& b, MutableRows c, bool adds);
void multiply_on_threads(ConstRows a, int64_t rows, const Operand& b, MutableRows c, bool adds);

// c [outputs, columns] = aᵀ · b for a [rows, outputs] and b [rows, columns], on threads, which share the rows of c.
// With no rows nothing is written.
struct TransposedProduct {
  int64_t rows = 0, outputs = 0, columns = 0;
  ConstRows a, b;
  MutableRows c;
};
void multiply_transposed(const TransposedProduct& product, bool is_rounded);

// False where libtorch's oneDNN has no microkernel for this processor: for floats, and for bfloat16.
bool has_block_products();
bool has_rounded_block_products();

// Shapes of blocks met so far by all threads: oneDNN writes machine code for each once (about 0.1 ms).
uint64_t num_block_kernels();

}  // namespace rehearse
