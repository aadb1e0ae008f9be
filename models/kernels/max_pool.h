// The largest value of each window of a picture x [H, W, c] -> y [H', W', c]: windows inside the picture alone.
#pragma once

#include <cstdint>

namespace rehearse {

struct MaxPoolShape {
  int64_t width = 1;
  int64_t channels = 1;
  int64_t size = 2;  // of a window in both directions, at most 16
  int64_t stride = 2;

  int64_t outputs(int64_t n) const { return n >= size ? (n - size) / stride + 1 : 0; }
  int64_t row() const { return width * channels; }
  int64_t output_row() const { return outputs(width) * channels; }
};

// `rows` is H. `best` [H', W', c] is the place within the window, row by row, of its first largest value; NaN is larger
// than any number. y and best are overwritten.
void max_pool_forward(const float* x, int64_t rows, float* y, uint8_t* best, const MaxPoolShape& shape);
void max_pool_forward(const double* x, int64_t rows, double* y, uint8_t* best, const MaxPoolShape& shape);
// dx [H, W, c] is overwritten.
void max_pool_backward(const float* dy, const uint8_t* best, int64_t rows, float* dx, const MaxPoolShape& shape);
void max_pool_backward(const double* dy, const uint8_t* best, int64_t rows, double* dx, const MaxPoolShape& shape);

}  // namespace rehearse
