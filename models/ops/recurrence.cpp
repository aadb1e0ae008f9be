#include "models/ops/recurrence.h"

#include <numeric>

#include "models/observed_cost.h"
#include "models/ops/batch_pieces.h"
#include "models/ops/fused_ops.h"
#include "models/ops/mixed_ops.h"
#include "models/ops/products/product.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Utterances by length, the longest first: those that have a step u are the first active[u]. Their rows lie one behind
// the other, from row offset[u] on.
struct Steps : torch::CustomClassHolder {
  Cell cell = Cell::kGru;
  bool is_backward = false;
  bool is_rounded = false;
  int64_t units = 0;
  ProductOperands* operands = nullptr;
  std::vector<int64_t> lengths, order, active, offset;

  int64_t batch() const { return static_cast<int64_t>(order.size()); }
  int64_t count() const { return static_cast<int64_t>(active.size()); }
  int64_t rows() const { return offset.back(); }
  int64_t width() const { return num_gates(cell) * units; }
  // Of utterance order[i] at step u.
  int64_t frame(int64_t i, int64_t u) const { return is_backward ? lengths[order[i]] - 1 - u : u; }

  void plan() {
    order.resize(lengths.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
    offset = {0};
    for (int64_t u = 0; !order.empty() && u < lengths[order[0]]; ++u) {
      int64_t i = active.empty() ? batch() : active.back();
      while (lengths[order[i - 1]] <= u) --i;
      active.push_back(i);
      offset.push_back(offset.back() + i);
    }
  }
};

// The state's product and that of its gradient, with the weight laid out once.
template <class T>
class StateProduct {
 public:
  StateProduct(const Steps& steps, const at::Tensor& weight, bool is_transposed)
      : weight_(is_transposed ? weight.t() : weight) {
    if constexpr (std::is_same_v<T, float>) {
      is_by_blocks_ = multiplies_by_blocks(weight, steps.is_rounded);
      if (!is_by_blocks_) return;
      const ConstRows rows{weight.const_data_ptr<float>(), weight.size(1)};
      if (!is_transposed)
        operand_ = Operand::of(rows, weight.size(0), weight.size(1), steps.is_rounded);
      else if (ProductOperands* kept = ProductOperands::fit_for(steps.operands, weight))
        operand_ = kept->transposed(weight, steps.is_rounded);
      else
        operand_ = Operand::of_transpose(rows, weight.size(1), weight.size(0), steps.is_rounded);
    }
  }

  // c [rows, columns] = a [rows, inner] · weight, or += where it adds.
  void operator()(const T* a, int64_t rows, T* c, bool adds) const {
    const int64_t inner = weight_.size(0), columns = weight_.size(1);
    if constexpr (std::is_same_v<T, float>)
      if (is_by_blocks_) return multiply({a, inner}, rows, operand_, {c, columns}, adds);
    const at::Tensor left = at::from_blob(const_cast<T*>(a), {rows, inner}, weight_.options());
    at::Tensor result = at::from_blob(c, {rows, columns}, weight_.options());
    if (adds)
      result.addmm_(left, weight_);
    else
      at::mm_out(result, left, weight_);
  }

 private:
  at::Tensor weight_;
  bool is_by_blocks_ = false;
  Operand operand_;
};

// What a pass leaves for the backward one, a row for each frame.
struct Kept {
  at::Tensor values;  // [rows, kept · H]
  at::Tensor state;   // [rows, H] before the step
  at::Tensor memory;  // likewise, of an LSTM
};

template <class T>
void forward_rows(const Steps& a, const StateProduct<T>& product, const at::Tensor& input, const at::Tensor& bias,
                  const Kept& kept, at::Tensor& y, int64_t first, int64_t end) {
  const int64_t units = a.units, width = a.width(), frames = input.size(1), num = end - first;
  std::vector<T> state(num * units), memory(a.cell == Cell::kLstm ? num * units : 0), recurrent(num * width),
      gates(num * width);
  const T* from = input.const_data_ptr<T>();
  T* to = y.mutable_data_ptr<T>();
  for (int64_t u = 0; u < a.count() && a.active[u] > first; ++u) {
    const int64_t rows = std::min(a.active[u], end) - first, at = a.offset[u] + first;
    for (int64_t i = 0; i < rows; ++i)
      std::copy_n(from + (a.order[first + i] * frames + a.frame(first + i, u)) * width, width, &gates[i * width]);
    std::copy_n(state.data(), rows * units, kept.state.mutable_data_ptr<T>() + at * units);
    if (!memory.empty()) std::copy_n(memory.data(), rows * units, kept.memory.mutable_data_ptr<T>() + at * units);
    product(state.data(), rows, recurrent.data(), false);
    cell_forward(CellForward<T>{a.cell, rows, units, gates.data(), recurrent.data(), bias.const_data_ptr<T>(),
                                state.data(), memory.data(),
                                kept.values.mutable_data_ptr<T>() + at * num_kept(a.cell) * units});
    for (int64_t i = 0; i < rows; ++i)
      std::copy_n(&state[i * units], units, to + (a.order[first + i] * frames + a.frame(first + i, u)) * units);
  }
}

// Gradients of all products, a row for each frame.
struct Slopes {
  at::Tensor input;      // [B, T, G · H]
  at::Tensor recurrent;  // [rows, G · H]
};

template <class T>
void backward_rows(const Steps& a, const StateProduct<T>& product, const at::Tensor& dy, const Kept& kept,
                   const Slopes& slopes, int64_t first, int64_t end) {
  const int64_t units = a.units, width = a.width(), frames = dy.size(1), num = end - first;
  std::vector<T> dstate(num * units), dmemory(a.cell == Cell::kLstm ? num * units : 0), dinput(num * width);
  const T* from = dy.const_data_ptr<T>();
  for (int64_t u = a.count() - 1; u >= 0; --u) {
    const int64_t rows = std::min(a.active[u], end) - first, at = a.offset[u] + first;
    if (rows <= 0) continue;
    for (int64_t i = 0; i < rows; ++i) {
      const T* slope = from + (a.order[first + i] * frames + a.frame(first + i, u)) * units;
      for (int64_t h = 0; h < units; ++h) dstate[i * units + h] += slope[h];
    }
    T* drecurrent = slopes.recurrent.mutable_data_ptr<T>() + at * width;
    const T* memory = dmemory.empty() ? nullptr : kept.memory.const_data_ptr<T>() + at * units;
    cell_backward(CellBackward<T>{a.cell, rows, units, kept.values.const_data_ptr<T>() + at * num_kept(a.cell) * units,
                                  kept.state.const_data_ptr<T>() + at * units, memory, dstate.data(), dmemory.data(),
                                  dinput.data(), drecurrent});
    product(drecurrent, rows, dstate.data(), true);
    for (int64_t i = 0; i < rows; ++i)
      std::copy_n(&dinput[i * width], width,
                  slopes.input.mutable_data_ptr<T>() + (a.order[first + i] * frames + a.frame(first + i, u)) * width);
  }
}

// [GH] = Σ over rows, in their order.
template <class T>
at::Tensor sum_of_rows(const at::Tensor& rows) {
  const at::Tensor sum = at::zeros({rows.size(1)}, rows.options());
  T* to = sum.mutable_data_ptr<T>();
  const T* from = rows.const_data_ptr<T>();
  for (int64_t r = 0; r < rows.size(0); ++r)
    for (int64_t c = 0; c < rows.size(1); ++c) to[c] += from[r * rows.size(1) + c];
  return sum;
}

at::Tensor weight_gradient(const Steps& a, const at::Tensor& drecurrent, const at::Tensor& state) {
  if (!multiplies_by_blocks(state, a.is_rounded)) return at::mm(drecurrent.t(), state);
  at::Tensor dweight = at::zeros({a.width(), a.units}, state.options());
  multiply_transposed({a.rows(),
                       a.width(),
                       a.units,
                       {drecurrent.const_data_ptr<float>(), a.width()},
                       {state.const_data_ptr<float>(), a.units},
                       {dweight.mutable_data_ptr<float>(), a.units}},
                      a.is_rounded);
  return dweight;
}

struct RecurrenceFunction : torch::autograd::Function<RecurrenceFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& bias, const c10::intrusive_ptr<Steps>& steps) {
    const Steps& a = *steps;
    REHEARSE_COUNTS_FLOPS(flops(a));
    at::Tensor y = at::zeros({input.size(0), input.size(1), a.units}, input.options());
    const Kept kept{at::empty({a.rows(), num_kept(a.cell) * a.units}, input.options()),
                    at::empty({a.rows(), a.units}, input.options()),
                    at::empty({a.cell == Cell::kLstm ? a.rows() : 0, a.units}, input.options())};
    with_real_type(input, [&](auto zero) {
      using T = decltype(zero);
      const StateProduct<T> product(a, weight, /*is_transposed=*/true);
      at::parallel_for(0, a.batch(), 1, [&](int64_t first, int64_t end) {
        forward_rows<T>(a, product, input, bias, kept, y, first, end);
      });
    });
    context->save_for_backward({weight, kept.values, kept.state, kept.memory});
    context->saved_data["steps"] = c10::IValue::make_capsule(steps);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["steps"].toCapsule();
    const auto& a = static_cast<const Steps&>(*holder);
    const Kept kept{saved[1], saved[2], saved[3]};
    const at::Tensor& weight = saved[0];
    const at::Tensor dy = gradients[0].contiguous();
    REHEARSE_COUNTS_FLOPS(2 * flops(a));
    const Slopes slopes{at::zeros({dy.size(0), dy.size(1), a.width()}, dy.options()),
                        at::empty({a.rows(), a.width()}, dy.options())};
    at::Tensor dbias;
    with_real_type(dy, [&](auto zero) {
      using T = decltype(zero);
      const StateProduct<T> product(a, weight, /*is_transposed=*/false);
      at::parallel_for(0, a.batch(), 1,
                       [&](int64_t first, int64_t end) { backward_rows<T>(a, product, dy, kept, slopes, first, end); });
      dbias = sum_of_rows<T>(slopes.recurrent);
    });
    return {slopes.input, weight_gradient(a, slopes.recurrent, kept.state), dbias, at::Tensor()};
  }

  static double flops(const Steps& a) { return 2.0 * static_cast<double>(a.rows() * a.width() * a.units); }
};

// Step by step in libtorch's operators; utterances that have ended keep their state.
at::Tensor on_device(const Steps& a, const at::Tensor& input, const RecurrentWeights& weights) {
  const int64_t batch = input.size(0), frames = input.size(1);
  at::Tensor state = at::zeros({batch, a.units}, input.options()), memory = state;
  const at::Tensor mask = frame_mask(input, a.lengths);
  std::vector<at::Tensor> states(static_cast<size_t>(frames));
  for (int64_t u = 0; u < frames; ++u) {
    const int64_t t = a.is_backward ? frames - 1 - u : u;
    const at::Tensor x = input.select(1, t), real = mask.select(1, t);
    const std::vector<at::Tensor> in = x.chunk(num_gates(a.cell), 1);
    const std::vector<at::Tensor> from = at::linear(state, weights.weight, weights.bias).chunk(num_gates(a.cell), 1);
    at::Tensor next;
    if (a.cell == Cell::kGru) {
      const at::Tensor z = at::sigmoid(in[1] + from[1]);
      const at::Tensor n = at::tanh(in[2] + at::sigmoid(in[0] + from[0]) * from[2]);
      next = n + z * (state - n);
    } else if (a.cell == Cell::kLstm) {
      const at::Tensor kept = at::sigmoid(in[1] + from[1]) * memory;
      const at::Tensor next_memory = kept + at::sigmoid(in[0] + from[0]) * at::tanh(in[2] + from[2]);
      next = at::sigmoid(in[3] + from[3]) * at::tanh(next_memory);
      memory = memory + real * (next_memory - memory);
    } else {
      next = a.cell == Cell::kTanh ? at::tanh(in[0] + from[0]) : (in[0] + from[0]).clamp(0, kRecurrentClip);
    }
    state = state + real * (next - state);
    states[static_cast<size_t>(t)] = state * real;
  }
  return frames > 0 ? at::stack(states, 1) : at::zeros({batch, 0, a.units}, input.options());
}

}  // namespace

at::Tensor recurrence(const ForwardContext& context, Cell cell, const at::Tensor& input,
                      const RecurrentWeights& weights, const std::vector<int64_t>& lengths, bool is_backward) {
  expect_shape(input, {static_cast<int64_t>(lengths.size()), -1, weights.weight.size(0)}, "recurrence: [B, T, G · H]");
  auto steps = c10::make_intrusive<Steps>();
  steps->cell = cell;
  steps->is_backward = is_backward;
  steps->units = weights.weight.size(1);
  steps->lengths = lengths;
  steps->is_rounded = context.precision == Precision::kBfloat16 && multiplies_by_blocks(input, true);
  if (context.rounded_weights) steps->operands = &context.rounded_weights->operands();
  if (!input.is_cpu()) return on_device(*steps, input, weights);
  steps->plan();
  return RecurrenceFunction::apply(input.contiguous(), weights.weight, weights.bias, steps);
}

}  // namespace rehearse
