#include "models/kernels/depthwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "trainer/base/random.h"

namespace rehearse {
namespace {

std::vector<double> noise(size_t size, uint64_t seed) {
  std::vector<double> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = 2 * RandomKey(seed).uniform(i) - 1;
  return values;
}

struct Case {
  int64_t frames, channels, kernel, stride, dilation;
};

// Straight from the definition.
struct Reference {
  std::vector<double> y, dx, dweight;
  Reference(const Case& c, const std::vector<double>& x, const std::vector<double>& w, const std::vector<double>& dy)
      : y(dy.size(), 0), dx(x.size(), 0), dweight(w.size(), 0) {
    const int64_t padding = c.dilation * (c.kernel - 1) / 2;
    const auto outputs = static_cast<int64_t>(dy.size()) / c.channels;
    for (int64_t t = 0; t < outputs; ++t)
      for (int64_t k = 0; k < c.kernel; ++k) {
        const int64_t from = t * c.stride + k * c.dilation - padding;
        if (from < 0 || from >= c.frames) continue;
        for (int64_t i = 0; i < c.channels; ++i) {
          y[t * c.channels + i] += w[k * c.channels + i] * x[from * c.channels + i];
          dx[from * c.channels + i] += w[k * c.channels + i] * dy[t * c.channels + i];
          dweight[k * c.channels + i] += x[from * c.channels + i] * dy[t * c.channels + i];
        }
      }
  }
};

template <class T>
double largest_difference(const std::vector<T>& a, const std::vector<double>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::fabs(a[i] - b[i]));
  return worst;
}

template <class T>
void expect_matches_definition(const Case& c, double tolerance) {
  const DepthwiseShape shape{c.channels, c.kernel, c.stride, c.dilation};
  const std::vector<double> x = noise(c.frames * c.channels, 1);
  const std::vector<double> w = noise(c.kernel * c.channels, 2);
  const std::vector<double> dy = noise(shape.output_frames(c.frames) * c.channels, 3);
  const Reference expected(c, x, w, dy);
  const std::vector<T> xs(x.begin(), x.end()), ws(w.begin(), w.end()), dys(dy.begin(), dy.end());
  std::vector<T> y(dy.size()), dx(x.size(), T(9)), dw(w.size(), T(0));
  for (int64_t begin = 0; begin < c.channels; begin += 20) {  // not a multiple of the lanes, on purpose
    const ChannelRange range{begin, std::min(c.channels, begin + 20)};
    depthwise_forward(xs.data(), c.frames, ws.data(), y.data(), shape, range);
    depthwise_grad_input(dys.data(), c.frames, ws.data(), dx.data(), shape, range);
    depthwise_grad_weight(xs.data(), dys.data(), c.frames, dw.data(), shape, range);
  }
  EXPECT_LE(largest_difference(y, expected.y), tolerance);
  EXPECT_LE(largest_difference(dx, expected.dx), tolerance);
  EXPECT_LE(largest_difference(dw, expected.dweight), tolerance * std::sqrt(c.frames));
}

TEST(Depthwise, EqualsItsDefinitionForEveryShape) {
  for (const Case& c : {Case{40, 32, 13, 1, 1}, Case{1, 16, 5, 1, 1}, Case{3, 8, 13, 1, 1}, Case{25, 24, 1, 1, 1},
                        Case{37, 19, 7, 2, 1}, Case{37, 48, 9, 4, 1}, Case{50, 33, 5, 1, 3}, Case{29, 40, 17, 3, 2},
                        Case{64, 1, 33, 1, 1}}) {
    SCOPED_TRACE(testing::Message() << c.frames << " frames, " << c.channels << " channels, kernel " << c.kernel
                                    << ", stride " << c.stride << ", dilation " << c.dilation);
    expect_matches_definition<float>(c, 2e-6);  // a few roundings of sums of up to 33 products below 1
    expect_matches_definition<double>(c, 1e-14);
  }
}

TEST(Depthwise, AnEmptyUtteranceIsNeitherReadNorWritten) {
  const DepthwiseShape shape{4, 3, 1, 1};
  const std::vector<float> weight(12, 1.0f);
  std::vector<float> dweight(12, 0.0f);
  depthwise_forward(nullptr, 0, weight.data(), nullptr, shape, {0, 4});
  depthwise_grad_input(nullptr, 0, weight.data(), nullptr, shape, {0, 4});
  depthwise_grad_weight(nullptr, nullptr, 0, dweight.data(), shape, {0, 4});
  EXPECT_EQ(dweight, std::vector<float>(12, 0.0f));
}

}  // namespace
}  // namespace rehearse
