#include "trainer/engine/step_tally.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <vector>

namespace rehearse {
namespace {

using Tail = std::array<float, StepTally::kFloats>;

// What the all-reduce does: floats are added in rank order.
StepTally sum_over_ranks(const std::vector<StepTally>& ranks) {
  Tail sum{};
  for (const StepTally& rank : ranks) {
    Tail tail{};
    rank.write_to(tail.data());
    for (size_t i = 0; i < tail.size(); ++i) sum[i] += tail[i];
  }
  return StepTally::read_from(sum.data());
}

TEST(StepTally, TheClockOfAMonthIsGoodToAMillisecond) {
  for (const double elapsed_s : {0.125, 1e6 + 0.0371, 30 * 86400.0 + 0.0009}) {
    std::vector<StepTally> ranks(16);
    ranks[0].elapsed_s = elapsed_s;
    EXPECT_NEAR(sum_over_ranks(ranks).elapsed_s, elapsed_s, 5e-4);
  }
}

TEST(StepTally, CountsAreExactOverManyRanks) {
  std::vector<StepTally> ranks(64);
  double units = 0, frames = 0;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    units += ranks[rank].normalizer = 33554433.0 + 7919.0 * static_cast<double>(rank);  // 2^25 + 1 is no float
    frames += ranks[rank].task[3] = 4095;
  }
  EXPECT_EQ(sum_over_ranks(ranks).normalizer, units);
  EXPECT_EQ(sum_over_ranks(ranks).task[3], frames);
}

TEST(StepTally, EveryFieldComesBackInItsPlace) {
  StepTally tally;
  double value = 0.5;
  for (const auto field : StepTally::kFields) tally.*field = value *= 3;
  value = 0.5;
  for (double& one : tally.task) one = value *= 3;
  const StepTally back = sum_over_ranks({tally});
  for (const auto field : StepTally::kFields) EXPECT_NEAR(back.*field, tally.*field, 1e-7 * tally.*field);
  for (size_t i = 0; i < kMaxTaskSums; ++i) EXPECT_NEAR(back.task[i], tally.task[i], 1e-7 * tally.task[i]);
  StepTally twice = tally;
  twice += tally;
  for (const auto field : StepTally::kFields) EXPECT_EQ(twice.*field, 2 * tally.*field);
  for (size_t i = 0; i < kMaxTaskSums; ++i) EXPECT_EQ(twice.task[i], 2 * tally.task[i]);
}

TEST(StepTally, ALossThatIsNotFiniteStaysSo) {
  for (const double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    std::vector<StepTally> ranks(2);
    ranks[0].loss = 3;
    ranks[1].loss = bad;
    EXPECT_FALSE(std::isfinite(sum_over_ranks(ranks).loss));
  }
}

}  // namespace
}  // namespace rehearse
