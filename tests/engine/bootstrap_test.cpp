#include "trainer/engine/evaluate/bootstrap.h"

#include <gtest/gtest.h>

namespace rehearse {
namespace {

TEST(BootstrapRatio, IsAFunctionOfItsSeed) {
  std::vector<Ratio> examples;
  for (int i = 0; i < 50; ++i) examples.push_back({1.0 * (i % 5), 20});
  const Interval first = bootstrap_ratio(examples, 0.95, 500, 3), again = bootstrap_ratio(examples, 0.95, 500, 3);
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
  EXPECT_NE(first.low, bootstrap_ratio(examples, 0.95, 500, 4).low);
}

TEST(BootstrapRatio, MatchesTheNormalIntervalOfAMean) {
  // 400 examples of length 10 with 0 or 2 edits: rate 0.1, standard error 0.1 / sqrt(400) = 0.005.
  std::vector<Ratio> examples;
  for (int i = 0; i < 400; ++i) examples.push_back({i % 2 == 0 ? 2.0 : 0.0, 10});
  const Interval interval = bootstrap_ratio(examples, 0.95, 2000, 1);
  EXPECT_NEAR(interval.low, 0.1 - 1.96 * 0.005, 0.001);
  EXPECT_NEAR(interval.high, 0.1 + 1.96 * 0.005, 0.001);
}

TEST(BootstrapRatio, OfNothingOrOneHasNoWidth) {
  EXPECT_EQ(bootstrap_ratio({}).high, 0.0);
  const Interval one = bootstrap_ratio({{1, 4}});
  EXPECT_EQ(one.low, 0.25);
  EXPECT_EQ(one.high, 0.25);
}

}  // namespace
}  // namespace rehearse
