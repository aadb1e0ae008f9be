#include "trainer/engine/update/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "trainer/base/registry.h"

namespace rehearse {
namespace {

std::unique_ptr<Schedule> make(const std::string& yaml) {
  Config config = Config::parse(yaml, "schedule.yaml");
  auto schedule = Registry<Schedule>::instance().create(config.root(), {});
  config.root().expect_all_read();
  return schedule;
}

class EverySchedule : public ::testing::TestWithParam<std::string> {
 protected:
  std::string example() const { return Registry<Schedule>::instance().entries().at(GetParam()).example; }
};

TEST_P(EverySchedule, StaysWithinZeroAndOneAndReachesOne) {
  const auto schedule = make(example());
  double highest = 0;
  for (int i = 0; i <= 1000; ++i) {
    const double factor = schedule->factor(i / 1000.0);
    EXPECT_GE(factor, -1e-12) << i;
    EXPECT_LE(factor, 1 + 1e-12) << i;
    highest = std::max(highest, factor);
  }
  EXPECT_NEAR(highest, 1, 1e-9);
}

TEST_P(EverySchedule, RisesDuringWarmUpAndNeverAfterIt) {
  const auto schedule = make(example());
  const double warmup = schedule->warmup_share();
  EXPECT_DOUBLE_EQ(warmup, 0.1);
  EXPECT_NEAR(schedule->factor(0), 0, 1e-12);
  EXPECT_NEAR(schedule->factor(warmup / 2), 0.5, 1e-9);
  EXPECT_NEAR(schedule->factor(warmup), 1, 1e-9);
  for (double p = warmup; p < 1; p += 0.01) EXPECT_LE(schedule->factor(p + 0.01), schedule->factor(p) + 1e-12) << p;
}

TEST_P(EverySchedule, BeyondTheBudgetItStaysAtTheEnd) {
  const auto schedule = make(example());
  EXPECT_DOUBLE_EQ(schedule->factor(1.5), schedule->factor(1));
  EXPECT_TRUE(std::isfinite(make("{type: " + GetParam() + ", warmup_share: 0}")->factor(0)));
}

std::vector<std::string> schedule_names() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : Registry<Schedule>::instance().entries()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Registered, EverySchedule, ::testing::ValuesIn(schedule_names()),
                         [](const auto& info) { return info.param; });

TEST(Schedule, ThoseWithAnEndReachTheirFinalShare) {
  for (const char* type : {"cosine", "linear", "hold"}) {
    const std::string head = concat("{type: ", type, ", warmup_share: 0.1");
    EXPECT_NEAR(make(head + "}")->factor(1), 0, 1e-12) << type;
    EXPECT_NEAR(make(head + ", final_lr_share: 0.2}")->factor(1), 0.2, 1e-12) << type;
  }
  EXPECT_DOUBLE_EQ(make("{type: constant, warmup_share: 0.1}")->factor(1), 1);
  EXPECT_NEAR(make("{type: inverse_sqrt, warmup_share: 0.1}")->factor(0.4), 0.5, 1e-9) << "sqrt(0.1 / 0.4)";
}

TEST(Schedule, HoldKeepsTheFullRateForItsShare) {
  const auto hold = make("{type: hold, warmup_share: 0.1, hold_share: 0.6}");
  EXPECT_DOUBLE_EQ(hold->factor(0.69), 1);
  EXPECT_NEAR(hold->factor(0.85), 0.5, 1e-9);
}

TEST(Schedule, AnUnknownTypeNamesTheKnownOnes) {
  try {
    make("{type: cosin}");
    FAIL();
  } catch (const ConfigError& failure) {
    EXPECT_NE(std::string(failure.what()).find("cosine"), std::string::npos) << failure.what();
  }
}

}  // namespace
}  // namespace rehearse
