#include "trainer/engine/update/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "trainer/base/random.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr int kSteps = 50;
constexpr double kLr = 0.01, kScale = 0.5;

// Padding between segments, a frozen one, one without decay, one with its own rate.
std::vector<Segment> mixed_segments() {
  return {{"plain", {37}, 0, 37, 1.0, true, false},
          {"bias", {5}, 48, 5, 1.0, false, false},
          {"frozen", {16}, 64, 16, 1.0, true, true},
          {"slow", {20}, 80, 20, 0.1, true, false}};
}
constexpr size_t kElements = 112;

std::unique_ptr<Optimizer> make(const std::string& yaml, size_t elements = kElements) {
  Config config = Config::parse(yaml, "optimizer.yaml");
  return Registry<Optimizer>::instance().create(config.root(), {elements});
}

float gradient_at(int step, size_t i) {
  return static_cast<float>(RandomKey(static_cast<uint64_t>(step)).normal(i) * (i % 7 == 0 ? 1e-3 : 1.0));
}

std::vector<float> start_values() {
  std::vector<float> values(kElements);
  for (size_t i = 0; i < kElements; ++i) values[i] = static_cast<float>(RandomKey(99).normal(i));
  return values;
}

// Runs kSteps of the optimizer; a callable reference does the same to one element in double.
template <class Reference>
void expect_follows(const std::string& yaml, Reference reference, double tolerance) {
  auto optimizer = make(yaml);
  const std::vector<Segment> segments = mixed_segments();
  const std::vector<float> start = start_values();
  std::vector<float> values = start, gradients(kElements);
  for (int step = 1; step <= kSteps; ++step) {
    for (size_t i = 0; i < kElements; ++i) gradients[i] = gradient_at(step, i);
    optimizer->step(values, gradients, segments, kLr, kScale, static_cast<uint64_t>(step));
  }
  std::vector<bool> is_covered(kElements, false);
  for (const Segment& segment : segments)
    for (size_t i = segment.offset; i < segment.offset + segment.length; ++i) {
      is_covered[i] = true;
      if (segment.is_frozen) {
        EXPECT_EQ(values[i], start[i]) << segment.name;
        continue;
      }
      const double expected = reference(static_cast<double>(start[i]), segment, i);
      EXPECT_NEAR(values[i], expected, tolerance * (1 + std::abs(expected))) << segment.name << "[" << i << "]";
      EXPECT_GT(std::abs(values[i] - start[i]), 1e-5) << "it moves: " << segment.name << "[" << i << "]";
    }
  for (size_t i = 0; i < kElements; ++i) EXPECT_TRUE(is_covered[i] || values[i] == start[i]) << "padding stays";
}

TEST(AdamW, FollowsThePaperInDoubleOverFiftySteps) {
  // 1e-5: fifty additions in single precision of steps of about lr.
  expect_follows(
      "{type: adamw, beta1: 0.9, beta2: 0.98, eps: 1.0e-8, weight_decay: 0.1}",
      [](double x, const Segment& segment, size_t i) {
        const double lr = kLr * segment.lr_scale;
        double m = 0, v = 0;
        for (int t = 1; t <= kSteps; ++t) {
          const double g = kScale * gradient_at(t, i);
          m = 0.9 * m + 0.1 * g;
          v = 0.98 * v + 0.02 * g * g;
          if (segment.is_decayed) x -= lr * 0.1 * x;
          x -= lr * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.98, t))) + 1e-8);
        }
        return x;
      },
      1e-5);
}

TEST(Sgd, FollowsMomentumInDoubleOverFiftySteps) {
  for (bool is_nesterov : {false, true}) {
    SCOPED_TRACE(is_nesterov);
    expect_follows(
        concat("{type: sgd, momentum: 0.9, weight_decay: 0.1, nesterov: ", is_nesterov ? "true}" : "false}"),
        [&](double x, const Segment& segment, size_t i) {
          double velocity = 0;
          for (int t = 1; t <= kSteps; ++t) {
            const double g = kScale * gradient_at(t, i) + (segment.is_decayed ? 0.1 * x : 0);
            velocity = 0.9 * velocity + g;
            x -= kLr * segment.lr_scale * (is_nesterov ? g + 0.9 * velocity : velocity);
          }
          return x;
        },
        1e-5);
  }
}

class EveryOptimizer : public ::testing::TestWithParam<std::string> {
 protected:
  std::string example() const { return Registry<Optimizer>::instance().entries().at(GetParam()).example; }
};

// Σ (x - 1)² from x = 0 … : whatever the rule, it must come down.
TEST_P(EveryOptimizer, MinimisesAParabola) {
  Config config = Config::parse(example(), "example.yaml");
  const double lr = config.root().number("lr", 0.01);
  auto optimizer = make(example(), 16);
  std::vector<float> values(16, 0.0f), gradients(16);
  for (uint64_t step = 1; step <= 2000; ++step) {
    for (size_t i = 0; i < 16; ++i) gradients[i] = 2 * (values[i] - 1);
    optimizer->step(values, gradients, {{"x", {16}, 0, 16, 1.0, false, false}}, lr, 1.0, step);
  }
  for (float value : values) EXPECT_NEAR(value, 1.0, 0.05);
}

TEST_P(EveryOptimizer, StateAloneContinuesBitForBit) {
  auto whole = make(example()), first = make(example()), second = make(example());
  std::vector<float> a = start_values(), b = a, gradients(kElements);
  const auto one_step = [&](Optimizer& optimizer, std::vector<float>& values, int step) {
    for (size_t i = 0; i < kElements; ++i) gradients[i] = gradient_at(step, i);
    optimizer.step(values, gradients, mixed_segments(), kLr, kScale, static_cast<uint64_t>(step));
  };
  for (int step = 1; step <= 20; ++step) {
    one_step(*whole, a, step);
    one_step(step <= 9 ? *first : *second, b, step);
    if (step != 9) continue;
    auto from = first->state(), to = second->state();
    ASSERT_EQ(from.size(), to.size());
    for (size_t i = 0; i < from.size(); ++i) {
      EXPECT_EQ(from[i].first, to[i].first);
      ASSERT_EQ(from[i].second.size(), kElements) << "state has the layout of the parameters";
      std::copy(from[i].second.begin(), from[i].second.end(), to[i].second.begin());
    }
  }
  EXPECT_EQ(a, b);
}

TEST_P(EveryOptimizer, GradientScaleIsAFactorOnTheGradient) {
  auto one = make(example()), two = make(example());
  std::vector<float> a = start_values(), b = a, gradients(kElements), quarter(kElements);
  for (int step = 1; step <= 5; ++step) {
    for (size_t i = 0; i < kElements; ++i) gradients[i] = gradient_at(step, i), quarter[i] = gradients[i] / 4;
    one->step(a, gradients, mixed_segments(), kLr, 0.25, static_cast<uint64_t>(step));
    two->step(b, quarter, mixed_segments(), kLr, 1.0, static_cast<uint64_t>(step));
  }
  EXPECT_EQ(a, b) << "a power of two is exact";
}

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : Registry<Optimizer>::instance().entries()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Registered, EveryOptimizer, ::testing::ValuesIn(optimizer_names()),
                         [](const auto& info) { return info.param; });

TEST(SumOfSquares, EqualsTheNaiveSum) {
  for (size_t count : {0, 1, 15, 16, 17, 65535, 65536, 65537, 200001}) {
    std::vector<float> values(count);
    long double naive = 0;
    for (size_t i = 0; i < count; ++i) {
      values[i] = static_cast<float>(RandomKey(4).normal(i));
      naive += static_cast<long double>(values[i]) * values[i];
    }
    EXPECT_NEAR(sum_of_squares(values), static_cast<double>(naive), 1e-12 * static_cast<double>(naive)) << count;
  }
}

TEST(SumOfSquares, IsTheSumOfItsBlocksInOrder) {
  constexpr size_t kBlock = 64 * 1024;
  std::vector<float> values(5 * kBlock + 123);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(RandomKey(5).normal(i) * std::pow(10, i % 9));
  double sum = 0;
  for (size_t at = 0; at < values.size(); at += kBlock)
    sum += sum_of_squares(std::span(values).subspan(at, std::min(kBlock, values.size() - at)));
  EXPECT_EQ(sum_of_squares(values), sum);
}

TEST(SumOfSquares, AnInfiniteValueShows) {
  std::vector<float> values(100000, 1.0f);
  values[70000] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(std::isfinite(sum_of_squares(values)));
}

}  // namespace
}  // namespace rehearse
