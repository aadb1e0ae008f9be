#include "models/kernels/max_pool.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

// Few different values, so that windows have equal ones.
template <class T>
std::vector<T> coarse_noise(int64_t count, uint64_t seed) {
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<T>(std::floor(7 * RandomKey(seed).uniform(static_cast<uint64_t>(i)))));
  return values;
}

template <class T>
void expect_first_of_the_largest(const MaxPoolShape& shape, int64_t rows) {
  const int64_t outputs = shape.outputs(rows) * shape.output_row();
  const std::vector<T> x = coarse_noise<T>(rows * shape.row(), 3), dy = coarse_noise<T>(outputs, 4);
  std::vector<T> y(static_cast<size_t>(outputs), -1), dx(x.size(), -7), expected(x.size(), 0);
  std::vector<uint8_t> best(static_cast<size_t>(outputs), 255);
  max_pool_forward(x.data(), rows, y.data(), best.data(), shape);
  max_pool_backward(dy.data(), best.data(), rows, dx.data(), shape);
  size_t to = 0;
  for (int64_t t = 0; t < shape.outputs(rows); ++t)
    for (int64_t w = 0; w < shape.outputs(shape.width); ++w)
      for (int64_t c = 0; c < shape.channels; ++c, ++to) {
        size_t first = 0;
        T largest = -std::numeric_limits<T>::infinity();
        for (int64_t i = 0; i < shape.size * shape.size; ++i) {
          const int64_t row = t * shape.stride + i / shape.size, column = w * shape.stride + i % shape.size;
          const auto from = static_cast<size_t>((row * shape.width + column) * shape.channels + c);
          if (x[from] > largest) largest = x[first = from];
        }
        ASSERT_EQ(y[to], largest);
        expected[first] += dy[to];
      }
  EXPECT_EQ(dx, expected);
}

TEST(MaxPool, TakesTheFirstOfTheLargestValuesOfEveryWindow) {
  for (int64_t channels : {1, 3, 8, 21})
    for (int64_t size : {1, 2, 3})
      for (int64_t stride : {1, 2, 4})
        for (int64_t rows : {0, 1, 3, 9}) {
          SCOPED_TRACE(concat("channels ", channels, ", size ", size, ", stride ", stride, ", rows ", rows));
          expect_first_of_the_largest<float>({7, channels, size, stride}, rows);
          expect_first_of_the_largest<double>({7, channels, size, stride}, rows);
        }
}

TEST(MaxPool, TheLargestWindowKnowsItsLastPlace) {
  std::vector<float> x(256, 0), y(1);
  x.back() = 1;
  std::vector<uint8_t> best(1);
  max_pool_forward(x.data(), 16, y.data(), best.data(), {16, 1, 16, 16});
  EXPECT_EQ(y[0], 1);
  EXPECT_EQ(best[0], 255);
}

TEST(MaxPool, KeepsNaN) {
  for (size_t place = 0; place < 4; ++place) {
    std::vector<float> x{1, 2, 3, 4}, y(1);
    x[place] = std::numeric_limits<float>::quiet_NaN();
    std::vector<uint8_t> best(1);
    max_pool_forward(x.data(), 2, y.data(), best.data(), {2, 1, 2, 2});
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_EQ(best[0], place);
  }
}

}  // namespace
}  // namespace rehearse
