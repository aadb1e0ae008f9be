// Fake learners: the controller alone, with what its draws score given by the test.
#include "data/sampler/shares/domain_controller.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>

#include "sampler_fixture.h"

namespace rehearse {
namespace {

constexpr int kDrawsPerStep = 40;
constexpr size_t kSeenBins = 64;

// Many more easy than hard ones: goals from 0.03 to 0.18 are within reach and breadth.
std::vector<TiltBin> mixed_bins() {
  std::vector<TiltBin> bins(kSeenBins);
  for (size_t k = 0; k < kSeenBins; ++k) {
    const double error = (static_cast<double>(k) + 0.5) / kSeenBins;
    bins[k] = {std::round(1000 * std::exp(-3 * error)), error};
  }
  return bins;
}

// Draws score what the bins promise plus `bias`; observations act `lag` steps later.
struct FakeLearner {
  explicit FakeLearner(const SamplerOptions& options, int lag_steps) : controller(options, "d"), lag(lag_steps) {}

  double step(double bias) {
    controller.solve(bins, kSeenBins);
    const double drawn = controller.tilt().mean + bias;
    waiting.push_back(drawn);
    if (static_cast<int>(waiting.size()) > lag) {
      controller.steer(kDrawsPerStep, kDrawsPerStep * (controller.target() - waiting.front()),
                       static_cast<uint64_t>(lag) * kDrawsPerStep, false);
      waiting.pop_front();
    }
    return drawn;
  }

  DomainController controller;
  int lag;
  std::vector<TiltBin> bins = mixed_bins();
  std::deque<double> waiting;
};

TEST(DomainController, DrawsAtTheTargetLeaveTheTrimAtZero) {
  const SamplerOptions options;
  FakeLearner learner(options, 8);
  for (int step = 0; step < 1000; ++step) {
    EXPECT_NEAR(learner.step(0), 0.10, 1e-9);
    EXPECT_EQ(learner.controller.state(), "on target");
    EXPECT_NEAR(learner.controller.trim(), 0, 1e-9);
  }
}

TEST(DomainController, ATableBiasedByFivePointsIsCorrectedWithinThreeTimesTheIntegral) {
  const SamplerOptions options;
  for (int lag : {1, 8, 40}) {
    for (double bias : {-0.05, 0.05}) {
      FakeLearner learner(options, lag);
      const double horizon = std::max(options.integral_draws, 2.0 * lag * kDrawsPerStep);
      const int steps = static_cast<int>(3 * horizon / kDrawsPerStep);
      for (int step = 0; step < steps; ++step) {
        learner.step(bias);
        EXPECT_LE(std::abs(learner.controller.trim()), 0.08);
      }
      for (int step = 0; step < 500; ++step) EXPECT_NEAR(learner.step(bias), 0.10, 0.01) << "lag " << lag;
      EXPECT_NEAR(learner.controller.trim(), -bias, 0.01);
    }
  }
}

TEST(DomainController, AStepChangeIsNotAnsweredByAnOvershootOfThreePoints) {
  const SamplerOptions options;
  for (int lag : {8, 40}) {
    FakeLearner learner(options, lag);
    for (int step = 0; step < 300; ++step) learner.step(0);
    EXPECT_NEAR(learner.step(0.05), 0.15, 1e-6) << "the change is seen before it is answered";
    double least = 1;
    for (int step = 0; step < 2000; ++step) least = std::min(least, learner.step(0.05));
    EXPECT_GT(least, 0.07) << "lag " << lag;
    EXPECT_LT(least, 0.105);
  }
}

TEST(DomainController, ASaturatedTiltDoesNotWindUp) {
  const SamplerOptions options;
  for (double error : {0.02, 0.6}) {
    FakeLearner learner(options, 8);
    for (int step = 0; step < 600; ++step) learner.step(error < 0.1 ? -0.07 : 0.07);
    EXPECT_GT(std::abs(learner.controller.trim()), 0.06);
    for (TiltBin& bin : learner.bins) bin.mean = error;
    for (int step = 0; step < 100000 / kDrawsPerStep; ++step) learner.step(0);
    EXPECT_EQ(learner.controller.state(), error < 0.1 ? "learned" : "too hard");
    EXPECT_LT(std::abs(learner.controller.trim()), 0.01);
  }
}

TEST(DomainController, IsFrozenInWarmup) {
  const SamplerOptions options;
  DomainController controller(options, "d");
  controller.solve(mixed_bins(), kSeenBins);
  controller.steer(1000, 100, 10, true);
  EXPECT_EQ(controller.trim(), 0);
  controller.steer(1000, 100, 10, false);
  EXPECT_GT(controller.trim(), 0);
}

TEST(DomainController, AGoodDomainSetsBinsAboveTheCutAside) {
  const SamplerOptions options;
  DomainController controller(options, "d");
  std::vector<TiltBin> bins(72);
  bins[2] = {700, 0.03};
  bins[10] = {200, 0.15};
  bins[60] = {100, 0.95};
  bins[70] = {50, 0.9};  // unseen
  controller.solve(bins, 64);
  EXPECT_TRUE(controller.is_good());
  EXPECT_DOUBLE_EQ(controller.median(), 0.03);
  EXPECT_DOUBLE_EQ(controller.cut(), 0.5);
  EXPECT_TRUE(controller.is_suspect_bin(60));
  EXPECT_FALSE(controller.is_suspect_bin(70)) << "unseen utterances are not suspects";
  ASSERT_TRUE(controller.has_suspects());
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(controller.pick_suspect_bin(mix64(i)), 60u);
    EXPECT_LT(controller.pick_bin(mix64(i)), 60u);
  }
  bins[60].count = 5000;
  controller.solve(bins, 64);
  EXPECT_FALSE(controller.is_good()) << "the whole table decides, whatever is drawn";
  EXPECT_FALSE(controller.has_suspects());
}

TEST(DomainController, NamesADomainWithNothingToDraw) {
  const SamplerOptions options;
  DomainController controller(options, "calls");
  try {
    controller.solve(std::vector<TiltBin>(72), 64);
    FAIL() << "expected a DataError";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("domain calls"), std::string::npos) << error.what();
  }
}

TEST(DomainController, TheTiltThatATableAsksForIsTheOneThatMeetsTheTarget) {
  SamplerOptions options;
  options.domains["d"].is_replay = true;
  DomainController controller(options, "d");
  const double lambda = controller.lambda_for_target(mixed_bins(), kSeenBins);
  double sum = 0, mean = 0;
  for (const TiltBin& bin : mixed_bins()) {
    sum += bin.count * std::exp(-lambda * bin.mean);
    mean += bin.count * std::exp(-lambda * bin.mean) * bin.mean;
  }
  EXPECT_NEAR(mean / sum, 0.10, 1e-6);
  const std::vector<TiltBin> hopeless{{100, 0.95}, {50, 1.0}}, easy{{100, 0.01}, {50, 0.02}};
  EXPECT_EQ(controller.lambda_for_target(hopeless, 2), 0) << "where nothing is within reach, uniform";
  EXPECT_EQ(controller.lambda_for_target(easy, 2), 0);
  controller.mark_switch(0, 0.95);
  controller.solve(mixed_bins(), kSeenBins);
  EXPECT_EQ(controller.tilt().lambda, 0) << "held at the switch";
}

TEST(DomainController, ItsConstantsAreKeys) {
  std::vector<TiltBin> bins(72);
  bins[2] = {700, 0.03};
  bins[10] = {200, 0.15};
  bins[60] = {100, 0.95};
  SamplerOptions options;
  options.cut_min = 0.1;
  options.cut_mads = 0;
  DomainController strict(options, "d");
  strict.solve(bins, 64);
  EXPECT_DOUBLE_EQ(strict.cut(), 0.1);
  options.good_median = 0.02;
  DomainController severe(options, "d");
  severe.solve(bins, 64);
  EXPECT_FALSE(severe.is_good());
  options = {};
  options.trim_max = 0.01;
  FakeLearner learner(options, 8);
  for (int step = 0; step < 1000; ++step) learner.step(0.05);
  EXPECT_DOUBLE_EQ(learner.controller.trim(), -0.01);
}

TEST(DomainController, ReplayNeverTiltsMoreThanAtTheSwitch) {
  for (const std::string mode : {"hold", "uniform", "free"}) {
    SamplerOptions options;
    options.replay_tilt = mode;
    options.domains["d"].is_replay = true;
    DomainController controller(options, "d");
    controller.mark_switch(2.0, 0.08);
    controller.solve(mixed_bins(), kSeenBins);
    EXPECT_TRUE(controller.is_forgotten()) << "a quarter of it is wrong now";
    const double lambda = controller.tilt().lambda;
    EXPECT_TRUE(mode == "free" ? lambda > 3 : lambda == (mode == "hold" ? 2.0 : 0.0)) << mode << " " << lambda;
    EXPECT_EQ(controller.state(), mode == "free" ? "on target" : mode == "hold" ? "held" : "uniform");
    controller.mark_switch(50.0, 0.25);
    controller.solve(mixed_bins(), kSeenBins);
    EXPECT_LT(controller.tilt().lambda, 20) << "it may fall";
    EXPECT_FALSE(controller.is_forgotten());
  }
}

}  // namespace
}  // namespace rehearse
