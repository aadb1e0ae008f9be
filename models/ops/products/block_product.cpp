#include "models/ops/products/block_product.h"

#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <unordered_set>

#include "models/kernels/bfloat16.h"
#include "models/kernels/transpose.h"
#include "models/torch_prelude.h"

namespace rehearse {
namespace {

// Measured on a Zen 5 core: blocks of 96 to 256 rows, 64 to 256 columns and up to 512 in the sum reach 95 to 99 % of
// its arithmetic limit, with the operand `b` as it lies in memory.
constexpr int64_t kRowsEach = 128;
constexpr int64_t kColumnsEach = 128;

std::atomic<uint64_t> num_kernels{0};

void count_kernel(const std::array<int64_t, 8>& shape) {
  thread_local std::unordered_set<uint64_t> seen;
  uint64_t key = 0;
  for (int64_t value : shape) key = (key ^ static_cast<uint64_t>(value)) * 0x9E3779B97F4A7C15u;
  if (seen.insert(key).second) num_kernels.fetch_add(1, std::memory_order_relaxed);
}

// Values of type T; a row of `b` holds kPair of them for each column.
template <class T, int64_t kPair>
struct Product {
  int64_t rows, columns, inner;
  const T* a;
  int64_t a_stride;
  const T* b;
  int64_t b_stride;  // in columns
  float* c;
  int64_t c_stride;
  bool adds;

  void multiply_block(int64_t row, int64_t count) const {
    count_kernel({count, columns, inner, a_stride, b_stride, c_stride, adds, kPair});
    at::native::cpublas::brgemm(count, columns, inner, a_stride, b_stride, c_stride, adds, a + row * a_stride, b,
                                c + row * c_stride, /*is_vnni=*/kPair > 1);
  }

  // Any number of rows is cut into powers of two, so that few shapes are met.
  void multiply_rows() const {
    for (int64_t row = 0; row < rows;) {
      int64_t count = kRowsEach;
      while (count > rows - row) count /= 2;
      multiply_block(row, count);
      row += count;
    }
  }

  void multiply() const {
    for (int64_t column = 0; column < columns; column += kColumnsEach) {
      Product panel = *this;
      panel.columns = std::min(kColumnsEach, columns - column);
      panel.b += column * kPair;
      panel.c += column;
      for (int64_t left = inner; left > 0; left -= panel.inner) {
        panel.inner = std::min(left, kInnerPart);
        panel.multiply_rows();
        panel.a += panel.inner;
        panel.b += panel.inner * b_stride;  // of pairs there are half as many rows, twice as long
        panel.adds = true;
      }
    }
  }
};
using FloatProduct = Product<float, 1>;
using RoundedProduct = Product<at::BFloat16, 2>;

int64_t even(int64_t count) {
  return count + count % 2;
}

const at::BFloat16* rounded_values(const void* data) {
  return static_cast<const at::BFloat16*>(data);
}

// One piece of rows, rounded into `scratch` [kRowsEach, even(inner)].
void multiply_rounded(ConstRows a, int64_t rows, const Operand& b, MutableRows c, bool adds,
                      const at::Tensor& scratch) {
  const int64_t inner = even(b.inner);
  auto* rounded = static_cast<uint16_t*>(scratch.mutable_data_ptr());
  round_rows(a.data, a.stride, rows, b.inner, rounded, inner);
  RoundedProduct{rows,   b.columns, inner, rounded_values(rounded), inner, rounded_values(b.data), b.stride,
                 c.data, c.stride,  adds}
      .multiply();
}

at::Tensor rounded_scratch(int64_t rows, int64_t inner) {
  return at::empty({rows, even(inner)}, at::kBFloat16);
}

}  // namespace

Operand Operand::of(ConstRows rows, int64_t inner, int64_t columns, bool is_rounded) {
  if (!is_rounded) return {{}, rows.data, rows.stride, inner, columns, false};
  const at::Tensor pairs = at::empty({even(inner) / 2, columns}, at::kInt);
  round_pairs(rows.data, rows.stride, inner, columns, static_cast<uint32_t*>(pairs.mutable_data_ptr()), columns);
  return {pairs, pairs.const_data_ptr(), columns, inner, columns, true};
}

// A pair is 32 bits, so pairs are transposed as floats are.
Operand Operand::of_transpose(ConstRows rows, int64_t inner, int64_t columns, bool is_rounded) {
  if (!is_rounded) {
    const at::Tensor turned = at::empty({inner, columns}, at::kFloat);
    transpose(rows.data, rows.stride, columns, inner, turned.mutable_data_ptr<float>(), columns);
    return {turned, turned.const_data_ptr(), columns, inner, columns, false};
  }
  const int64_t pairs = even(inner) / 2;
  const at::Tensor rounded = rounded_scratch(columns, inner), turned = at::empty({pairs, columns}, at::kFloat);
  round_rows(rows.data, rows.stride, columns, inner, static_cast<uint16_t*>(rounded.mutable_data_ptr()), 2 * pairs);
  transpose(static_cast<const float*>(rounded.const_data_ptr()), pairs, columns, pairs,
            turned.mutable_data_ptr<float>(), columns);
  return {turned, turned.const_data_ptr(), columns, inner, columns, true};
}

void multiply(ConstRows a, int64_t rows, const Operand& b, MutableRows c, bool adds) {
  if (!b.is_rounded)
    return FloatProduct{rows,     b.columns, b.inner,  a.data, a.stride, static_cast<const float*>(b.data),
                        b.stride, c.data,    c.stride, adds}
        .multiply();
  const at::Tensor scratch = rounded_scratch(kRowsEach, b.inner);
  for (int64_t row = 0; row < rows; row += kRowsEach)
    multiply_rounded({a.data + row * a.stride, a.stride}, std::min(kRowsEach, rows - row), b,
                     {c.data + row * c.stride, c.stride}, adds, scratch);
}

void multiply_on_threads(ConstRows a, int64_t rows, const Operand& b, MutableRows c, bool adds) {
  if (at::get_num_threads() == 1) return multiply(a, rows, b, c, adds);
  const int64_t pieces = (rows + kRowsEach - 1) / kRowsEach, panels = (b.columns + kColumnsEach - 1) / kColumnsEach;
  at::parallel_for(0, pieces * panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / panels * kRowsEach, column = i % panels * kColumnsEach;
      Operand panel = b;
      panel.data = static_cast<const float*>(b.data) + column;  // a pair is as large as a float
      panel.columns = std::min(kColumnsEach, b.columns - column);
      multiply({a.data + row * a.stride, a.stride}, std::min(kRowsEach, rows - row), panel,
               {c.data + row * c.stride + column, c.stride}, adds);
    }
  });
}

void multiply_transposed(const TransposedProduct& p, bool is_rounded) {
  for (int64_t r = 0; r < p.rows; r += kInnerPart) {
    const int64_t inner = std::min(kInnerPart, p.rows - r);
    const Operand b = Operand::of({p.b.data + r * p.b.stride, p.b.stride}, inner, p.columns, is_rounded);
    at::parallel_for(0, (p.outputs + kRowsEach - 1) / kRowsEach, 1, [&](int64_t begin, int64_t end) {
      for (int64_t first = begin * kRowsEach; first < std::min(p.outputs, end * kRowsEach); first += kRowsEach) {
        const int64_t count = std::min(kRowsEach, p.outputs - first);
        const ConstRows a{p.a.data + r * p.a.stride + first, p.a.stride};
        float* c = p.c.data + first * p.c.stride;
        const Operand turned = is_rounded ? Operand::of(a, inner, count, true) : Operand();
        const at::Tensor left = at::empty({count, kInnerPart}, is_rounded ? at::kBFloat16 : at::kFloat);
        if (is_rounded) {  // pairs of rows, transposed, are rows of pairs
          transpose(static_cast<const float*>(turned.data), count, even(inner) / 2, count,
                    static_cast<float*>(left.mutable_data_ptr()), kInnerPart / 2);
          RoundedProduct{count,       p.columns,
                         even(inner), rounded_values(left.const_data_ptr()),
                         kInnerPart,  rounded_values(b.data),
                         b.stride,    c,
                         p.c.stride,  r > 0}
              .multiply();
        } else {
          transpose(a.data, a.stride, inner, count, left.mutable_data_ptr<float>(), kInnerPart);
          FloatProduct{count,      p.columns,
                       inner,      left.const_data_ptr<float>(),
                       kInnerPart, static_cast<const float*>(b.data),
                       b.stride,   c,
                       p.c.stride, r > 0}
              .multiply();
        }
      }
    });
  }
}

namespace {

template <class T>
bool has_microkernel(bool is_vnni) {
  const T a[16 * 16] = {}, b[16 * 16] = {};
  float c[16 * 16];
  try {
    at::native::cpublas::brgemm(16, 16, 16, 16, 16, 16, false, a, b, c, is_vnni);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

bool has_block_products() {
  static const bool kHas = has_microkernel<float>(false);
  return kHas;
}

bool has_rounded_block_products() {
  static const bool kHas = has_block_products() && has_microkernel<at::BFloat16>(true);
  return kHas;
}

uint64_t num_block_kernels() {
  return num_kernels.load(std::memory_order_relaxed);
}

}  // namespace rehearse
