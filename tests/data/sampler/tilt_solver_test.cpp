#include "data/sampler/shares/tilt_solver.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "sampler_fixture.h"

namespace rehearse {
namespace {

constexpr uint64_t kSeed = 20240607;

struct Reference {
  long double mean = 0;
  long double perplexity = 0;
};

// Independent of the solver: long double, std::exp, straight from the definition of entropy over utterances.
Reference reference_at(const std::vector<TiltBin>& bins, double lambda) {
  long double least = 2, z = 0;
  for (const TiltBin& bin : bins)
    if (bin.count > 0) least = std::min(least, static_cast<long double>(bin.mean));
  for (const TiltBin& bin : bins) z += bin.count * std::exp(-lambda * (bin.mean - least));
  Reference reference;
  long double entropy = 0;
  for (const TiltBin& bin : bins) {
    if (bin.count <= 0) continue;
    const long double each = std::exp(-lambda * (bin.mean - least)) / z;
    reference.mean += bin.count * each * bin.mean;
    if (each > 0) entropy -= bin.count * each * std::log(each);
  }
  reference.perplexity = std::exp(entropy);
  return reference;
}

double total(const std::vector<TiltBin>& bins) {
  double n = 0;
  for (const TiltBin& bin : bins) n += bin.count;
  return n;
}

double floor_of(const std::vector<TiltBin>& bins, const TiltGoal& goal) {
  return std::max(goal.min_breadth * total(bins), std::min(total(bins), 50.0) / 2);
}

// Every promise of solve_tilt, for any bins.
void expect_sound(const std::vector<TiltBin>& bins, const TiltGoal& goal, const Tilt& tilt) {
  const Reference at = reference_at(bins, tilt.lambda);
  const Reference flat = reference_at(bins, 0);
  ASSERT_GE(tilt.lambda, 0);
  ASSERT_LE(tilt.lambda, goal.lambda_max);
  EXPECT_NEAR(tilt.mean, static_cast<double>(at.mean), 1e-11);
  EXPECT_NEAR(tilt.breadth, static_cast<double>(at.perplexity) / total(bins), 1e-9);
  EXPECT_GE(static_cast<double>(at.perplexity), floor_of(bins, goal) * (1 - 1e-9));
  switch (tilt.state) {
    case TiltState::kLearned:
      EXPECT_EQ(tilt.lambda, 0);
      EXPECT_LE(static_cast<double>(flat.mean), goal.mean + 1e-12);
      break;
    case TiltState::kOnTarget:
      EXPECT_NEAR(static_cast<double>(at.mean), goal.mean, 1e-9);
      break;
    case TiltState::kBreadth:
      EXPECT_GT(static_cast<double>(at.mean), goal.mean);
      EXPECT_NEAR(static_cast<double>(at.perplexity) / floor_of(bins, goal), 1, 1e-6) << "no more breadth than needed";
      break;
    case TiltState::kTooHard:
      EXPECT_EQ(tilt.lambda, goal.lambda_max);
      EXPECT_GT(static_cast<double>(at.mean), goal.mean);
      break;
  }
}

TEST(PortableExp, AgreesWithTheLibraryEverywhere) {
  for (double x = -700; x < 700; x += 0.37) {
    const double expected = std::exp(x);
    EXPECT_NEAR(portable_exp(x) / expected, 1, 1e-15) << x;
  }
  EXPECT_EQ(portable_exp(0), 1);
  EXPECT_EQ(portable_exp(-1e9), 0);
}

TEST(TiltSolver, MeetsGoalAndFloorForRandomDomainsAndAnyStart) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  const RandomKey key(kSeed);
  int on_target = 0, breadth = 0, learned = 0;
  for (uint64_t round = 0; round < 3000; ++round) {
    const RandomKey r = key.with(round);
    std::vector<TiltBin> bins(1 + r.below(72, 0));
    const double skew = std::exp(4 * r.normal(500));
    for (size_t k = 0; k < bins.size(); ++k) {
      bins[k].count = r.uniform(1000 + k) < 0.2 ? 0 : std::floor(std::pow(10.0, 5 * r.uniform(2000 + k)));
      bins[k].mean = std::pow(r.uniform(3000 + k), skew);
    }
    bins[0].count = std::max(bins[0].count, 1.0);
    const TiltGoal goal{0.01 + 0.4 * r.uniform(1), r.uniform(2) < 0.3 ? 0 : 0.5 * r.uniform(3), 60};
    const Tilt tilt = solve_tilt(bins, goal, 70 * r.uniform(4) - 5);
    expect_sound(bins, goal, tilt);
    if (HasFailure()) FAIL() << "seed " << kSeed << ", round " << round;
    on_target += tilt.state == TiltState::kOnTarget;
    breadth += tilt.state == TiltState::kBreadth;
    learned += tilt.state == TiltState::kLearned;
  }
  EXPECT_GT(on_target, 300);
  EXPECT_GT(breadth, 300);
  EXPECT_GT(learned, 100);
}

TEST(TiltSolver, HoldsAtTheExtremes) {
  const TiltGoal goal;
  const std::vector<std::vector<TiltBin>> extremes = {
      {{1, 0.5}},                       // one utterance
      {{1, 0.0}},                       //
      {{1000, 0.3}, {1000, 0.3}},       // all equal
      {{1000, 0.0}, {0, 0.7}},          // all learned
      {{1000, 1.0}},                    // nothing learned
      {{1e7, 0.999999}, {1e7, 1.0}},    // all but equal
      {{1, 0.0}, {1e7, 1.0}},           // one easy among millions
      {{1e7, 0.0}, {1, 1.0}},           //
      {{5e6, 0.1 - 1e-13}, {5e6, 1.0}}  // the goal only at infinity
  };
  for (size_t e = 0; e < extremes.size(); ++e) {
    for (double start : {0.0, 3.0, 60.0}) {
      SCOPED_TRACE(e);
      expect_sound(extremes[e], goal, solve_tilt(extremes[e], goal, start));
      expect_sound(extremes[e], {0.1, 0, 60}, solve_tilt(extremes[e], {0.1, 0, 60}, start));
      expect_sound(extremes[e], {0.1, 1, 60}, solve_tilt(extremes[e], {0.1, 1, 60}, start));
      expect_sound(extremes[e], {0.1, 0.2, 0}, solve_tilt(extremes[e], {0.1, 0.2, 0}, start));
    }
  }
}

TEST(TiltSolver, DoesNotDependOnItsStart) {
  const std::vector<TiltBin> bins = {{100, 0.02}, {300, 0.2}, {500, 0.6}, {50, 0.9}};
  const Tilt cold = solve_tilt(bins, {0.1, 0.05, 60}, 0);
  EXPECT_EQ(cold.state, TiltState::kOnTarget);
  for (double start : {0.1, 5.0, 30.0, 59.9})
    EXPECT_NEAR(solve_tilt(bins, {0.1, 0.05, 60}, start).lambda, cold.lambda, 1e-8);
}

TEST(TiltSolver, ProbabilitiesSumToOneAndFallWithTheError) {
  const std::vector<TiltBin> bins = {{10, 0.1}, {10, 0.5}, {0, 0.0}, {10, 0.9}};
  const std::vector<double> p = tilt_probabilities(bins, 5);
  EXPECT_NEAR(p[0] + p[1] + p[3], 1, 1e-15);
  EXPECT_EQ(p[2], 0);
  EXPECT_NEAR(p[1] / p[0], std::exp(-2.0), 1e-15);
  EXPECT_NEAR(p[3] / p[0], std::exp(-4.0), 1e-15);
}

}  // namespace
}  // namespace rehearse
