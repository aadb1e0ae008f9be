#include "models/ops/ctc_loss.h"

#include <chrono>
#include <cmath>
#include <tuple>

#include "tests/models/tensor_support.h"

namespace rehearse {
namespace {

using namespace testing_support;

struct Problem {
  at::Tensor logits;  // [B, T, V]
  std::vector<int64_t> lengths;
  std::vector<std::vector<int32_t>> targets;
  std::vector<double> weights;
};

Problem random_problem(int64_t frames, int64_t classes, uint64_t seed, at::ScalarType type) {
  Problem problem{
      noise({4, frames, classes}, seed, type) * 4, {frames, frames * 3 / 4, frames / 2, frames}, {}, {1, 1, 1, 1}};
  for (uint64_t b = 0; b < 4; ++b) {
    std::vector<int32_t> target;
    for (uint64_t i = 0; i < static_cast<uint64_t>(problem.lengths[b]) / 3; ++i)
      target.push_back(static_cast<int32_t>(RandomKey(seed).with(b).below(static_cast<uint64_t>(classes - 1), i)));
    problem.targets.push_back(b == 3 ? std::vector<int32_t>{} : target);
  }
  return problem;
}

// Σ loss by libtorch: log_softmax, then ctc_loss on its native int64 path.
at::Tensor reference_sum(const Problem& problem, const at::Tensor& logits) {
  std::vector<int64_t> flat, sizes;
  for (const auto& target : problem.targets) {
    flat.insert(flat.end(), target.begin(), target.end());
    sizes.push_back(static_cast<int64_t>(target.size()));
  }
  return at::ctc_loss(at::log_softmax(logits, 2).transpose(0, 1), at::tensor(at::IntArrayRef(flat), at::kLong),
                      at::tensor(at::IntArrayRef(problem.lengths), at::kLong),
                      at::tensor(at::IntArrayRef(sizes), at::kLong), logits.size(2) - 1, at::Reduction::Sum, false);
}

TEST(CtcLoss, EqualsLibtorchInDoublePrecision) {
  const Problem problem = random_problem(90, 23, 17, at::kDouble);
  at::Tensor ours = problem.logits.clone().set_requires_grad(true);
  at::Tensor theirs = problem.logits.clone().set_requires_grad(true);
  const CtcLoss loss = ctc_loss(ours, problem.lengths, problem.targets, 22, problem.weights);
  const at::Tensor expected = reference_sum(problem, theirs);
  loss.sum.backward();
  expected.backward();
  EXPECT_NEAR(loss.sum.item<double>(), expected.item<double>(), 1e-9);
  EXPECT_LE(difference(ours.grad(), theirs.grad()), 1e-12);
}

TEST(CtcLoss, IsBitEqualOnAnyNumberOfThreads) {
  Problem problem = random_problem(200, 29, 23, at::kFloat);
  problem.logits = problem.logits.repeat({4, 1, 1}) * at::linspace(0.5, 1.5, 16, at::kFloat).view({16, 1, 1});
  for (int copy = 0; copy < 3; ++copy)
    for (size_t b = 0; b < 4; ++b) {
      problem.lengths.push_back(problem.lengths[b] - copy);
      problem.targets.push_back(problem.targets[b]);
      problem.weights.push_back(1 + copy);
    }
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    const at::Tensor logits = problem.logits.clone().set_requires_grad(true);
    const CtcLoss loss = ctc_loss(logits, problem.lengths, problem.targets, 28, problem.weights);
    loss.sum.backward();
    at::set_num_threads(1);
    return std::tuple(loss.losses, loss.sum.item<float>(), logits.grad());
  };
  const auto [losses, sum, gradient] = run(1);
  EXPECT_GT(largest(gradient), 0);
  for (const int threads : {2, 3, 8}) {
    const auto [other_losses, other_sum, other_gradient] = run(threads);
    EXPECT_EQ(other_losses, losses) << threads;
    EXPECT_EQ(other_sum, sum) << threads;
    EXPECT_TRUE(other_gradient.equal(gradient)) << threads;
  }
}

// Four minutes at 40 ms: scaled sums neither vanish nor overflow.
TEST(CtcLoss, OfALongUtteranceEqualsLibtorch) {
  Problem problem = random_problem(6000, 12, 31, at::kDouble);
  problem.logits = problem.logits.slice(0, 0, 1).contiguous();
  problem.lengths = {6000};
  problem.targets.resize(1);
  problem.targets[0].resize(300);
  problem.weights = {1};
  at::Tensor ours = problem.logits.clone().set_requires_grad(true);
  at::Tensor theirs = problem.logits.clone().set_requires_grad(true);
  const CtcLoss loss = ctc_loss(ours, problem.lengths, problem.targets, 11, problem.weights);
  const at::Tensor expected = reference_sum(problem, theirs);
  loss.sum.backward();
  expected.backward();
  EXPECT_NEAR(loss.sum.item<double>() / expected.item<double>(), 1, 1e-12);
  EXPECT_LE(difference(ours.grad(), theirs.grad()), 1e-9);
}

TEST(CtcLoss, WeightsScaleLossAndGradientAndZeroSkips) {
  Problem problem = random_problem(40, 11, 5, at::kFloat);
  at::Tensor plain = problem.logits.clone().set_requires_grad(true);
  ctc_loss(plain, problem.lengths, problem.targets, 10, problem.weights).sum.backward();
  problem.weights = {0.25, 0, 3, 1};
  problem.logits[1].fill_(std::nan(""));  // a failed utterance may hold anything
  at::Tensor weighted = problem.logits.clone().set_requires_grad(true);
  const CtcLoss loss = ctc_loss(weighted, problem.lengths, problem.targets, 10, problem.weights);
  loss.sum.backward();
  for (int64_t b : {0, 2, 3}) EXPECT_LE(difference(weighted.grad()[b], plain.grad()[b] * problem.weights[b]), 1e-6);
  EXPECT_EQ(largest(weighted.grad()[1]), 0);
  EXPECT_EQ(loss.losses[1], 0);
  EXPECT_NEAR(loss.sum.item<double>(), 0.25 * loss.losses[0] + 3 * loss.losses[2] + loss.losses[3], 1e-3);
}

TEST(CtcLoss, WithoutAGraphTheLossesAreTheSame) {
  const Problem problem = random_problem(90, 23, 17, at::kFloat);
  at::Tensor learned = problem.logits.clone().set_requires_grad(true);
  const CtcLoss with = ctc_loss(learned, problem.lengths, problem.targets, 22, problem.weights);
  const at::NoGradGuard no_gradients;
  const CtcLoss without = ctc_loss(learned, problem.lengths, problem.targets, 22, problem.weights);
  EXPECT_EQ(without.losses, with.losses);
  EXPECT_EQ(without.sum.item<float>(), with.sum.item<float>());
  EXPECT_FALSE(without.sum.requires_grad());
}

TEST(CtcLoss, FlagsWhatCannotBeSpelled) {
  const at::Tensor logits = noise({2, 3, 5}, 1, at::kFloat).set_requires_grad(true);
  const CtcLoss loss = ctc_loss(logits, {3, 3}, {{1, 1, 2}, {1, 2, 1}}, 4, {1, 1});
  EXPECT_EQ(loss.is_infeasible, (std::vector<uint8_t>{1, 0}));
  EXPECT_EQ(loss.losses[0], 0);
  EXPECT_GT(loss.losses[1], 0);
}

TEST(CtcLoss, RefusesTokensOutsideTheVocabulary) {
  const at::Tensor logits = at::zeros({1, 5, 4});
  EXPECT_THROW(ctc_loss(logits, {5}, {{3}}, 3, {1}), BugError);  // the blank
  EXPECT_THROW(ctc_loss(logits, {5}, {{4}}, 3, {1}), BugError);
  EXPECT_THROW(ctc_loss(logits, {5}, {{-1}}, 3, {1}), BugError);
}

TEST(CtcLoss, IgnoresPaddingFramesInDecoding) {
  at::Tensor logits = at::zeros({1, 4, 3});
  for (int64_t t = 0; t < 4; ++t) logits[0][t][t % 2] = 1;
  const std::vector<GreedyPath> paths = ctc_greedy_decode(logits, {2}, 2);
  EXPECT_EQ(paths[0].tokens, (std::vector<int32_t>{0, 1}));
}

}  // namespace
}  // namespace rehearse
