// One step of a recurrent cell after its products: gates and states of some utterances, forward and backward.
// GRU (Cho et al., 2014) and LSTM (Hochreiter and Schmidhuber, 1997; Gers et al., 2000) as PyTorch has them, so that
// weights can be carried over; the plain cell with tanh, or with the clipped ReLU of Deep Speech 2 (Amodei et al.,
// 2015).
#pragma once

#include <cstdint>

namespace rehearse {

enum class Cell { kGru, kLstm, kTanh, kClippedRelu };

// Gates of H units each: r, z, n; i, f, g, o; or one.
constexpr int64_t num_gates(Cell cell) {
  return cell == Cell::kGru ? 3 : cell == Cell::kLstm ? 4 : 1;
}
// Values a unit keeps for the backward pass: r, z, n and the recurrent part of n; i, f, g, o and tanh of the new
// memory; the new state.
constexpr int64_t num_kept(Cell cell) {
  return cell == Cell::kGru ? 4 : cell == Cell::kLstm ? 5 : 1;
}
constexpr double kRecurrentClip = 20;

// Rows are utterances, contiguous; H units, G gates. Memory (c) is an LSTM's alone.
template <class T>
struct CellForward {
  Cell cell;
  int64_t rows, units;
  const T* input;      // [rows, G · H] products of the input, with their bias
  const T* recurrent;  // [rows, G · H] products of the state
  const T* bias;       // [G · H] added to the latter
  T* state;            // [rows, H] before, then after
  T* memory;           // likewise
  T* kept;             // [rows, kept · H]
};
template <class T>
struct CellBackward {
  Cell cell;
  int64_t rows, units;
  const T* kept;
  const T* state;   // before the step
  const T* memory;  // before the step
  T* dstate;        // of the state after it, then of that before it as far as no product is between
  T* dmemory;       // likewise, whole
  T* dinput;        // [rows, G · H]
  T* drecurrent;    // [rows, G · H]
};
void cell_forward(const CellForward<float>& step);
void cell_forward(const CellForward<double>& step);
void cell_backward(const CellBackward<float>& step);
void cell_backward(const CellBackward<double>& step);

}  // namespace rehearse
