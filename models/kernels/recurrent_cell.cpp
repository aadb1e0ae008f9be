#include "models/kernels/recurrent_cell.h"

#include "models/kernels/frame_ops.h"

#ifndef REHEARSE_TARGET
#define REHEARSE_KERNEL "models/kernels/recurrent_cell.cpp"
#include "models/kernels/simd/for_each_target.h"

namespace rehearse {

void cell_forward(const CellForward<float>& step) {
  REHEARSE_DISPATCH(cell_forward(step))
}
void cell_forward(const CellForward<double>& step) {
  REHEARSE_DISPATCH(cell_forward(step))
}
void cell_backward(const CellBackward<float>& step) {
  REHEARSE_DISPATCH(cell_backward(step))
}
void cell_backward(const CellBackward<double>& step) {
  REHEARSE_DISPATCH(cell_backward(step))
}

}  // namespace rehearse

#else
#include "models/kernels/simd/epilogue_lanes.h"

namespace rehearse::REHEARSE_TARGET {
namespace {

using simd::load;
using simd::store;

template <class T>
REHEARSE_INLINE Vec<T> hyperbolic_tangent(const Vec<T>& x) {
  return T(2) * sigmoid<T>(Vec<T>(T(2) * x)) - T(1);
}

// Calls unit(first, count) for vectors of units.
template <class T, class Task>
REHEARSE_INLINE void for_units(int64_t units, const Task& task) {
  constexpr int64_t kEach = Lanes<T>::kCount;
  for (int64_t h = 0; h < units; h += kEach) task(h, units - h < kEach ? units - h : kEach);
}

// A row of a step: gate k's vector of units.
template <class T>
struct ForwardRow {
  const CellForward<T>& step;
  int64_t row, units = step.units;
  REHEARSE_INLINE Vec<T> input(int64_t gate, int64_t h, int64_t count) const {
    return load(step.input + (row * num_gates(step.cell) + gate) * units + h, count);
  }
  REHEARSE_INLINE Vec<T> recurrent(int64_t gate, int64_t h, int64_t count) const {
    return load(step.recurrent + (row * num_gates(step.cell) + gate) * units + h, count) +
           load(step.bias + gate * units + h, count);
  }
  REHEARSE_INLINE Vec<T> sum(int64_t gate, int64_t h, int64_t count) const {
    return input(gate, h, count) + recurrent(gate, h, count);
  }
  REHEARSE_INLINE void keep(int64_t value, int64_t h, int64_t count, const Vec<T>& x) const {
    store(step.kept + (row * num_kept(step.cell) + value) * units + h, x, count);
  }
  REHEARSE_INLINE T* state(int64_t h) const { return step.state + row * units + h; }
  REHEARSE_INLINE T* memory(int64_t h) const { return step.memory + row * units + h; }
};

template <class T>
REHEARSE_INLINE void gru_forward(const ForwardRow<T>& a, int64_t h, int64_t count) {
  const Vec<T> r = sigmoid<T>(a.sum(0, h, count)), z = sigmoid<T>(a.sum(1, h, count));
  const Vec<T> q = a.recurrent(2, h, count);
  const Vec<T> n = hyperbolic_tangent<T>(Vec<T>(a.input(2, h, count) + r * q));
  const Vec<T> before = load(a.state(h), count);
  a.keep(0, h, count, r);
  a.keep(1, h, count, z);
  a.keep(2, h, count, n);
  a.keep(3, h, count, q);
  store(a.state(h), Vec<T>(n + z * (before - n)), count);
}

template <class T>
REHEARSE_INLINE void lstm_forward(const ForwardRow<T>& a, int64_t h, int64_t count) {
  const Vec<T> i = sigmoid<T>(a.sum(0, h, count)), f = sigmoid<T>(a.sum(1, h, count));
  const Vec<T> g = hyperbolic_tangent<T>(a.sum(2, h, count)), o = sigmoid<T>(a.sum(3, h, count));
  const Vec<T> memory = f * load(a.memory(h), count) + i * g;
  const Vec<T> t = hyperbolic_tangent<T>(memory);
  a.keep(0, h, count, i);
  a.keep(1, h, count, f);
  a.keep(2, h, count, g);
  a.keep(3, h, count, o);
  a.keep(4, h, count, t);
  store(a.memory(h), memory, count);
  store(a.state(h), Vec<T>(o * t), count);
}

template <class T, bool kClips>
REHEARSE_INLINE void plain_forward(const ForwardRow<T>& a, int64_t h, int64_t count) {
  const Vec<T> sum = a.sum(0, h, count);
  Vec<T> state;
  if constexpr (kClips)
    state = simd::minimum<T>(simd::maximum<T>(sum, Vec<T>{}), simd::splat(T(kRecurrentClip)));
  else
    state = hyperbolic_tangent<T>(sum);
  a.keep(0, h, count, state);
  store(a.state(h), state, count);
}

template <class T>
struct BackwardRow {
  const CellBackward<T>& step;
  int64_t row, units = step.units;
  REHEARSE_INLINE Vec<T> kept(int64_t value, int64_t h, int64_t count) const {
    return load(step.kept + (row * num_kept(step.cell) + value) * units + h, count);
  }
  REHEARSE_INLINE void slope(int64_t gate, int64_t h, int64_t count, const Vec<T>& input,
                             const Vec<T>& recurrent) const {
    const int64_t at = (row * num_gates(step.cell) + gate) * units + h;
    store(step.dinput + at, input, count);
    store(step.drecurrent + at, recurrent, count);
  }
  REHEARSE_INLINE T* dstate(int64_t h) const { return step.dstate + row * units + h; }
  REHEARSE_INLINE T* dmemory(int64_t h) const { return step.dmemory + row * units + h; }
};

template <class T>
REHEARSE_INLINE void gru_backward(const BackwardRow<T>& a, int64_t h, int64_t count) {
  const Vec<T> r = a.kept(0, h, count), z = a.kept(1, h, count), n = a.kept(2, h, count), q = a.kept(3, h, count);
  const Vec<T> before = load(a.step.state + a.row * a.units + h, count), slope = load(a.dstate(h), count);
  const Vec<T> dn = slope * (T(1) - z) * (T(1) - n * n);
  const Vec<T> dz = slope * (before - n) * z * (T(1) - z);
  const Vec<T> dr = dn * q * r * (T(1) - r);
  a.slope(0, h, count, dr, dr);
  a.slope(1, h, count, dz, dz);
  a.slope(2, h, count, dn, Vec<T>(dn * r));
  store(a.dstate(h), Vec<T>(slope * z), count);
}

template <class T>
REHEARSE_INLINE void lstm_backward(const BackwardRow<T>& a, int64_t h, int64_t count) {
  const Vec<T> i = a.kept(0, h, count), f = a.kept(1, h, count), g = a.kept(2, h, count), o = a.kept(3, h, count);
  const Vec<T> t = a.kept(4, h, count), before = load(a.step.memory + a.row * a.units + h, count);
  const Vec<T> slope = load(a.dstate(h), count);
  const Vec<T> dc = load(a.dmemory(h), count) + slope * o * (T(1) - t * t);
  const Vec<T> di = dc * g * i * (T(1) - i), df = dc * before * f * (T(1) - f);
  const Vec<T> dg = dc * i * (T(1) - g * g), d_o = slope * t * o * (T(1) - o);
  a.slope(0, h, count, di, di);
  a.slope(1, h, count, df, df);
  a.slope(2, h, count, dg, dg);
  a.slope(3, h, count, d_o, d_o);
  store(a.dmemory(h), Vec<T>(dc * f), count);
  store(a.dstate(h), Vec<T>{}, count);
}

template <class T, bool kClips>
REHEARSE_INLINE void plain_backward(const BackwardRow<T>& a, int64_t h, int64_t count) {
  const Vec<T> state = a.kept(0, h, count), slope = load(a.dstate(h), count);
  Vec<T> sum;
  if constexpr (kClips)
    sum = state > T(0) ? (state < T(kRecurrentClip) ? slope : Vec<T>{}) : Vec<T>{};
  else
    sum = slope * (T(1) - state * state);
  a.slope(0, h, count, sum, sum);
  store(a.dstate(h), Vec<T>{}, count);
}

// Calls unit(row, h, count) for all rows.
template <class T, template <class> class Row, class Step, class Unit>
REHEARSE_INLINE void for_rows(const Step& step, const Unit& unit) {
  for (int64_t row = 0; row < step.rows; ++row)
    for_units<T>(
        step.units, [&](int64_t h, int64_t count) __attribute__((always_inline)) {
          unit(Row<T>{step, row}, h, count);
        });
}

}  // namespace

#define REHEARSE_CELL(T)                                                                          \
  void cell_forward(const CellForward<T>& step) {                                                 \
    if (step.cell == Cell::kGru) for_rows<T, ForwardRow>(step, gru_forward<T>);                   \
    if (step.cell == Cell::kLstm) for_rows<T, ForwardRow>(step, lstm_forward<T>);                 \
    if (step.cell == Cell::kTanh) for_rows<T, ForwardRow>(step, plain_forward<T, false>);         \
    if (step.cell == Cell::kClippedRelu) for_rows<T, ForwardRow>(step, plain_forward<T, true>);   \
  }                                                                                               \
  void cell_backward(const CellBackward<T>& step) {                                               \
    if (step.cell == Cell::kGru) for_rows<T, BackwardRow>(step, gru_backward<T>);                 \
    if (step.cell == Cell::kLstm) for_rows<T, BackwardRow>(step, lstm_backward<T>);               \
    if (step.cell == Cell::kTanh) for_rows<T, BackwardRow>(step, plain_backward<T, false>);       \
    if (step.cell == Cell::kClippedRelu) for_rows<T, BackwardRow>(step, plain_backward<T, true>); \
  }
REHEARSE_CELL(float)
REHEARSE_CELL(double)
#undef REHEARSE_CELL

}  // namespace rehearse::REHEARSE_TARGET
#endif
