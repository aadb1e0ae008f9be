#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "models/kernels/ctc/ctc_log_domain.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

using Tokens = std::vector<int32_t>;

std::vector<double> noise(size_t size, uint64_t seed, double scale = 3) {
  std::vector<double> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = scale * (2 * RandomKey(seed).uniform(i) - 1);
  return values;
}

Tokens collapsed(const Tokens& path, int32_t blank) {
  Tokens tokens;
  for (size_t t = 0; t < path.size(); ++t)
    if (path[t] != blank && (t == 0 || path[t] != path[t - 1])) tokens.push_back(path[t]);
  return tokens;
}

// p(target) by walking over all classes^frames paths.
double brute_force(const std::vector<double>& logits, int64_t frames, int64_t classes, const Tokens& target,
                   int32_t blank) {
  std::vector<double> p(logits.size());
  for (int64_t t = 0; t < frames; ++t) {
    double sum = 0;
    for (int64_t v = 0; v < classes; ++v) sum += std::exp(logits[t * classes + v]);
    for (int64_t v = 0; v < classes; ++v) p[t * classes + v] = std::exp(logits[t * classes + v]) / sum;
  }
  double total = 0;
  const auto num_paths = static_cast<int64_t>(std::lround(std::pow(classes, frames)));
  for (int64_t number = 0; number < num_paths; ++number) {
    Tokens path;
    double product = 1;
    for (int64_t t = 0, rest = number; t < frames; ++t, rest /= classes) {
      path.push_back(static_cast<int32_t>(rest % classes));
      product *= p[t * classes + path.back()];
    }
    if (collapsed(path, blank) == target) total += product;
  }
  return total;
}

TEST(CtcLattice, EqualsTheSumOverAllPaths) {
  const int64_t frames = 6, classes = 4;
  for (int32_t blank : {0, 3})
    for (const Tokens& target : {Tokens{}, Tokens{1}, Tokens{1, 2}, Tokens{1, 1}, Tokens{2, 1, 2}, Tokens{1, 1, 1},
                                 Tokens{2, 2, 1, 1}, Tokens{1, 2, 1, 2, 1, 2}}) {
      const std::vector<double> logits = noise(frames * classes, 11);
      const CtcOutcome outcome = ctc_loss_and_gradient(logits.data(), frames, classes, target, blank, 1.0, nullptr);
      EXPECT_FALSE(outcome.is_infeasible);
      EXPECT_NEAR(outcome.loss, -std::log(brute_force(logits, frames, classes, target, blank)), 1e-12);
    }
}

TEST(CtcLattice, ProbabilitiesOfAllTargetsSumToOne) {
  const int64_t frames = 4, classes = 3;
  const std::vector<double> logits = noise(frames * classes, 5);
  std::map<Tokens, bool> targets;
  for (int number = 0; number < 81; ++number) {
    Tokens path;
    for (int t = 0, rest = number; t < 4; ++t, rest /= 3) path.push_back(rest % 3);
    targets[collapsed(path, 2)] = true;
  }
  double sum = 0;
  for (const auto& [target, unused] : targets)
    sum += std::exp(-ctc_loss_and_gradient(logits.data(), frames, classes, target, 2, 1.0, nullptr).loss);
  EXPECT_NEAR(sum, 1.0, 1e-12);
}

TEST(CtcLattice, GradientEqualsFiniteDifferences) {
  const uint64_t seed = 3;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const int64_t frames = 24, classes = 19;
  for (const Tokens& target :
       {Tokens{}, Tokens{4}, Tokens{3, 3, 5, 0, 17, 17, 17, 2, 1, 9, 9, 12},
        Tokens{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 1, 2, 3, 4, 5, 6, 7}}) {
    std::vector<double> logits = noise(frames * classes, seed);
    std::vector<double> gradient(logits.size());
    ctc_loss_and_gradient(logits.data(), frames, classes, target, 18, 0.5, gradient.data());
    for (size_t i = 0; i < logits.size(); i += 7) {
      const double kept = logits[i], h = 1e-5;
      logits[i] = kept + h;
      const double above = ctc_loss_and_gradient(logits.data(), frames, classes, target, 18, 1.0, nullptr).loss;
      logits[i] = kept - h;
      const double below = ctc_loss_and_gradient(logits.data(), frames, classes, target, 18, 1.0, nullptr).loss;
      logits[i] = kept;
      EXPECT_NEAR(gradient[i], 0.5 * (above - below) / (2 * h), 1e-8);
    }
  }
}

TEST(CtcLattice, GradientOfEveryFrameSumsToZero) {
  const std::vector<double> logits = noise(size_t{50} * 30, 8);
  std::vector<double> gradient(logits.size());
  ctc_loss_and_gradient(logits.data(), 50, 30, Tokens{1, 2, 2, 7, 9, 9, 9, 4}, 29, 1.0, gradient.data());
  for (int t = 0; t < 50; ++t) {
    double sum = 0;
    for (int v = 0; v < 30; ++v) sum += gradient[t * 30 + v];
    EXPECT_NEAR(sum, 0, 1e-12);
  }
}

TEST(CtcLattice, TooFewFramesAreInfeasibleWithoutLossOrGradient) {
  const std::vector<float> logits(size_t{3} * 4, 0.5f);
  for (const Tokens& target : {Tokens{0, 1, 2, 0}, Tokens{1, 1, 2}}) {  // four tokens; three and a repeat
    std::vector<float> gradient(12, 7.0f);
    const CtcOutcome outcome = ctc_loss_and_gradient(logits.data(), 3, 4, target, 3, 1.0, gradient.data());
    EXPECT_TRUE(outcome.is_infeasible);
    EXPECT_EQ(outcome.loss, 0);
    EXPECT_EQ(gradient, std::vector<float>(12, 0.0f));
  }
  EXPECT_FALSE(ctc_loss_and_gradient(logits.data(), 3, 4, Tokens{1, 1}, 3, 1.0, nullptr).is_infeasible);
}

TEST(CtcLattice, NoFramesSpellOnlyTheEmptyText) {
  const float* none = nullptr;
  EXPECT_FALSE(ctc_loss_and_gradient(none, 0, 4, Tokens{}, 3, 1.0, nullptr).is_infeasible);
  EXPECT_TRUE(ctc_loss_and_gradient(none, 0, 4, Tokens{1}, 3, 1.0, nullptr).is_infeasible);
}

TEST(CtcLattice, ExtremeLogitsStayFinite) {
  std::vector<float> logits(size_t{40} * 5, -2000.0f);
  for (int t = 0; t < 40; ++t) logits[t * 5 + 4] = 2000.0f;  // surely blank
  std::vector<float> gradient(logits.size());
  const CtcOutcome outcome = ctc_loss_and_gradient(logits.data(), 40, 5, Tokens{0, 1, 2}, 4, 1.0, gradient.data());
  EXPECT_NEAR(outcome.loss, 3 * 4000 - std::log(9880.0), 1e-6);  // 40 choose 3 places for three tokens
  for (float value : gradient) EXPECT_TRUE(std::isfinite(value));
}

TEST(CtcLattice, NotANumberShowsInTheLoss) {
  std::vector<float> logits(size_t{10} * 5, 0.0f);
  logits[23] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> gradient(logits.size());
  EXPECT_TRUE(std::isnan(ctc_loss_and_gradient(logits.data(), 10, 5, Tokens{0, 1}, 4, 1.0, gradient.data()).loss));
  EXPECT_TRUE(std::isnan(gradient[0]));
}

TEST(CtcLattice, SinglePrecisionAgreesWithDouble) {
  const std::vector<double> logits = noise(size_t{300} * 40, 21);
  const std::vector<float> singles(logits.begin(), logits.end());
  Tokens target;
  for (int i = 0; i < 120; ++i) target.push_back(static_cast<int32_t>(RandomKey(4).below(39, i)));
  std::vector<double> gradient(logits.size());
  std::vector<float> single_gradient(logits.size());
  const double loss = ctc_loss_and_gradient(logits.data(), 300, 40, target, 39, 1.0, gradient.data()).loss;
  const double single = ctc_loss_and_gradient(singles.data(), 300, 40, target, 39, 1.0, single_gradient.data()).loss;
  EXPECT_NEAR(single / loss, 1.0, 1e-7);
  for (size_t i = 0; i < gradient.size(); ++i) EXPECT_NEAR(single_gradient[i], gradient[i], 2e-6);
}

TEST(CtcGreedy, CollapsesRepeatsAndRemovesBlanks) {
  const Tokens path{4, 1, 1, 4, 1, 2, 2, 4, 4, 0};
  std::vector<float> logits(path.size() * 5, 0.0f);
  for (size_t t = 0; t < path.size(); ++t) logits[t * 5 + path[t]] = 1.0f;
  const GreedyPath greedy = ctc_greedy(logits.data(), static_cast<int64_t>(path.size()), 5, 4);
  EXPECT_EQ(greedy.tokens, (Tokens{1, 1, 2, 0}));
  EXPECT_EQ(greedy.num_blank_frames, 4);
  EXPECT_TRUE(ctc_greedy(logits.data(), 0, 5, 4).tokens.empty());
}

// Frames hardly enough, plenty, fewer and more labels than a vector holds.
TEST(CtcLattice, TheLossAloneHasTheBitsOfTheLossWithItsGradient) {
  for (int64_t frames : {1, 2, 3, 7, 40, 41, 200})
    for (int64_t num_labels : {0, 1, 2, 5, 8, 20, 33, 100}) {
      if (num_labels > frames) continue;
      Tokens target;
      for (int64_t i = 0; i < num_labels; ++i) target.push_back(static_cast<int32_t>(i % 3));
      const std::vector<double> logits =
          noise(static_cast<size_t>(frames * 5), static_cast<uint64_t>(frames * 1000 + num_labels), 8);
      std::vector<double> gradient(logits.size());
      const double with = ctc_loss_and_gradient(logits.data(), frames, 5, target, 4, 1.0, gradient.data()).loss;
      const double alone = ctc_loss_and_gradient(logits.data(), frames, 5, target, 4, 1.0, nullptr).loss;
      EXPECT_EQ(with, alone) << frames << " frames, " << num_labels << " labels";
      EXPECT_TRUE(std::isfinite(alone));
    }
}

// All rows of this lattice would be 1.1 GB.
TEST(CtcLattice, TheLossAloneTakesLittleMemory) {
  const int64_t frames = 15000;
  const Tokens target(4500, 1);
  const std::vector<float> logits(static_cast<size_t>(frames * 3), 0.0f);
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  const CtcOutcome outcome = ctc_loss_and_gradient(logits.data(), frames, 3, target, 2, 1.0, nullptr);
  getrusage(RUSAGE_SELF, &after);
  EXPECT_FALSE(outcome.is_infeasible);
  EXPECT_TRUE(std::isfinite(outcome.loss));
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 100 * 1024) << "KiB";
}

// Probabilities, or where those do not do logarithms, against logarithms alone.
template <class T>
void expect_equal_to_logs(int64_t frames, int64_t classes, size_t labels, double scale, uint64_t seed,
                          double tolerance) {
  SCOPED_TRACE(testing::Message() << frames << " frames, " << classes << " classes, " << labels << " labels, scale "
                                  << scale << ", seed " << seed);
  const std::vector<double> values = noise(static_cast<size_t>(frames * classes), seed, scale);
  const std::vector<T> logits(values.begin(), values.end());
  Tokens target;
  for (size_t i = 0; i < labels; ++i)
    target.push_back(static_cast<int32_t>(RandomKey(seed).with("target").below(static_cast<uint64_t>(classes - 1), i)));
  const auto blank = static_cast<int32_t>(classes - 1);
  std::vector<T> found(logits.size()), expected(logits.size());
  const CtcOutcome ours = ctc_loss_and_gradient(logits.data(), frames, classes, target, blank, 0.7, found.data());
  const CtcOutcome logs = ctc_in_log_domain(logits.data(), frames, classes, target, blank, 0.7, expected.data());
  ASSERT_EQ(ours.is_infeasible, logs.is_infeasible);
  EXPECT_NEAR(ours.loss, logs.loss, tolerance * std::max(1.0, logs.loss));
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 2 * tolerance) << i;
  const CtcOutcome alone =
      ctc_loss_and_gradient(logits.data(), frames, classes, target, blank, 0.7, static_cast<T*>(nullptr));
  if (alone.is_by_logs == ours.is_by_logs) {
    EXPECT_EQ(alone.loss, ours.loss);
  }
}

TEST(CtcLattice, EqualsTheLogDomainForLogitsOfAnySize) {
  uint64_t seed = 100;
  for (const double scale : {0.0, 0.1, 3.0, 20.0, 50.0, 1000.0, 1e4})
    for (const int64_t frames : {1, 2, 17, 64, 233})
      for (const int64_t classes : {2, 3, 9, 40, 131})
        for (const size_t labels :
             {size_t{0}, size_t{1}, static_cast<size_t>(frames / 3), static_cast<size_t>(frames)}) {
          expect_equal_to_logs<double>(frames, classes, labels, scale, ++seed, 1e-10);
          expect_equal_to_logs<float>(frames, classes, labels, scale, ++seed, 2e-6);
        }
}

// One label's frames say with certainty that it is not there: its paths vanish from doubles, and are all there is.
TEST(CtcLattice, TakesTheLogDomainWhereProbabilitiesVanish) {
  const int64_t frames = 40, classes = 5;
  std::vector<double> logits(static_cast<size_t>(frames * classes), 0.0);
  for (int64_t t = 0; t < frames; ++t) logits[t * classes + 1] = -1000;
  std::vector<double> found(logits.size()), expected(logits.size());
  const CtcOutcome ours = ctc_loss_and_gradient(logits.data(), frames, classes, Tokens{0, 1, 2}, 4, 1.0, found.data());
  const CtcOutcome logs = ctc_in_log_domain(logits.data(), frames, classes, Tokens{0, 1, 2}, 4, 1.0, expected.data());
  EXPECT_TRUE(ours.is_by_logs);
  EXPECT_EQ(ours.loss, logs.loss);
  EXPECT_EQ(found, expected);
  EXPECT_NEAR(ours.loss, 1000 + 46, 20) << "one frame of it";
}

// Early frames prefer what later frames forbid: in each frame the paths that count are the unlikely ones.
TEST(CtcLattice, NoticesPathsThatWereLostOnTheWay) {
  const int64_t frames = 200, classes = 4;
  std::vector<double> logits(static_cast<size_t>(frames * classes), 0.0);
  for (int64_t t = 0; t < frames; ++t)
    for (int64_t v = 0; v < classes; ++v) logits[t * classes + v] = (t < frames / 2) == (v == 3) ? 20 : -20;
  for (const Tokens& target : {Tokens{0, 1, 2, 0, 1, 2}, Tokens(90, 1), Tokens{2}}) {
    std::vector<double> found(logits.size()), expected(logits.size());
    const CtcOutcome ours = ctc_loss_and_gradient(logits.data(), frames, classes, target, 3, 1.0, found.data());
    const CtcOutcome logs = ctc_in_log_domain(logits.data(), frames, classes, target, 3, 1.0, expected.data());
    EXPECT_NEAR(ours.loss, logs.loss, 1e-9 * logs.loss);
    for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-8) << i;
  }
}

}  // namespace
}  // namespace rehearse
