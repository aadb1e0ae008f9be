#include "models/ops/block_product.h"

#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <unordered_set>

#include "models/kernels/transpose.h"
#include "models/torch_prelude.h"

namespace rehearse {
namespace {

// Measured on a Zen 5 core: blocks of 96 to 256 rows, 64 to 256 columns and up to 512 in the sum reach 95 to 99 % of
// its arithmetic limit, with the operand `b` as it lies in memory.
constexpr int64_t kRowsEach = 128;
constexpr int64_t kColumnsEach = 128;

std::atomic<uint64_t> num_kernels{0};

void count_kernel(const std::array<int64_t, 7>& shape) {
  thread_local std::unordered_set<uint64_t> seen;
  uint64_t key = 0;
  for (int64_t value : shape) key = (key ^ static_cast<uint64_t>(value)) * 0x9E3779B97F4A7C15u;
  if (seen.insert(key).second) num_kernels.fetch_add(1, std::memory_order_relaxed);
}

void multiply_block(const BlockProduct& p) {
  count_kernel({p.rows, p.columns, p.inner, p.a.stride, p.b.stride, p.c.stride, p.adds});
  at::native::cpublas::brgemm(p.rows, p.columns, p.inner, p.a.stride, p.b.stride, p.c.stride, p.adds, p.a.data,
                              p.b.data, p.c.data, /*is_vnni=*/false);
}

// The largest power of two that is at most `count`: any number is cut into few shapes.
int64_t power_within(int64_t count) {
  int64_t power = 1;
  while (power * 2 <= count) power *= 2;
  return power;
}

BlockProduct part_of(const BlockProduct& p, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  return {rows,
          columns,
          p.inner,
          {p.a.data + row * p.a.stride, p.a.stride},
          {p.b.data + column, p.b.stride},
          {p.c.data + row * p.c.stride + column, p.c.stride},
          p.adds};
}

void multiply_rows(const BlockProduct& p) {
  for (int64_t row = 0; row < p.rows;) {
    const int64_t rows = p.rows - row >= kRowsEach ? kRowsEach : power_within(p.rows - row);
    multiply_block(part_of(p, row, rows, 0, p.columns));
    row += rows;
  }
}

}  // namespace

void multiply(const BlockProduct& product) {
  for (int64_t column = 0; column < product.columns; column += kColumnsEach) {
    BlockProduct panel = part_of(product, 0, product.rows, column, std::min(kColumnsEach, product.columns - column));
    for (int64_t inner = 0; inner < product.inner;) {
      const int64_t left = product.inner - inner;
      panel.inner = std::min(left, kInnerPart);
      multiply_rows(panel);
      inner += panel.inner;
      panel.a.data += panel.inner;
      panel.b.data += panel.inner * panel.b.stride;
      panel.adds = true;
    }
  }
}

void multiply_on_threads(const BlockProduct& product) {
  if (at::get_num_threads() == 1) return multiply(product);
  const int64_t panels = (product.columns + kColumnsEach - 1) / kColumnsEach;
  const int64_t pieces = (product.rows + kRowsEach - 1) / kRowsEach;
  at::parallel_for(0, panels * pieces, std::max<int64_t>(1, 4096 / std::max<int64_t>(1, product.inner)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       const int64_t column = i / pieces * kColumnsEach, row = i % pieces * kRowsEach;
                       multiply(part_of(product, row, std::min(kRowsEach, product.rows - row), column,
                                        std::min(kColumnsEach, product.columns - column)));
                     }
                   });
}

void multiply_transposed(const at::Tensor& a, int64_t columns, ConstRows b, MutableRows c) {
  const int64_t rows = a.size(0), outputs = a.size(1);
  const float* from = a.const_data_ptr<float>();
  at::parallel_for(0, (outputs + kRowsEach - 1) / kRowsEach, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = at::empty({kRowsEach, kInnerPart}, a.options());
    float* turned = scratch.mutable_data_ptr<float>();
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kRowsEach, count = std::min(kRowsEach, outputs - first);
      for (int64_t r = 0; r < rows; r += kInnerPart) {
        const int64_t inner = std::min(kInnerPart, rows - r);
        transpose(from + r * a.stride(0) + first, a.stride(0), inner, count, turned, kInnerPart);
        multiply({count,
                  columns,
                  inner,
                  {turned, kInnerPart},
                  {b.data + r * b.stride, b.stride},
                  {c.data + first * c.stride, c.stride},
                  r > 0});
      }
    }
  });
}

bool has_block_products() {
  static const bool kHas = [] {
    const float a[16 * 16] = {}, b[16 * 16] = {};
    float c[16 * 16];
    try {
      at::native::cpublas::brgemm(16, 16, 16, 16, 16, 16, false, a, b, c, false);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }();
  return kHas;
}

uint64_t num_block_kernels() {
  return num_kernels.load(std::memory_order_relaxed);
}

}  // namespace rehearse
