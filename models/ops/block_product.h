// Products of float matrices on a CPU, block by block with oneDNN's microkernel: our loops, its machine code. A row of
// the result depends on that row of `a` alone, bit for bit: not on the other rows, their number or the threads.
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

struct BlockProduct {
  int64_t rows = 0;     // M
  int64_t columns = 0;  // N
  int64_t inner = 0;    // K
  ConstRows a;          // [M, K]
  ConstRows b;          // [K, N]
  MutableRows c;        // [M, N]
  bool adds = false;    // c += a · b instead of c = a · b
};

// On the calling thread. The sum over K is made in parts of kInnerPart, in order.
constexpr int64_t kInnerPart = 512;
void multiply(const BlockProduct& product);
// Shared among threads by rows and columns.
void multiply_on_threads(const BlockProduct& product);

// c = aᵀ · b for a [R, M] and b [R, N], on threads, which share the rows of c. With R = 0 nothing is written.
void multiply_transposed(const at::Tensor& a, int64_t columns, ConstRows b, MutableRows c);

// False where libtorch's oneDNN has no microkernel for this processor.
bool has_block_products();

// Shapes of blocks met so far by all threads: oneDNN writes machine code for each once (about 0.1 ms).
uint64_t num_block_kernels();

}  // namespace rehearse
