// A synthetic learner: does the drawn error stay at its target while everything moves? It proves nothing about speech.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/sampler/curriculum_sampler.h"
#include "training_loop.h"

namespace rehearse {
namespace {

// Logistic error of difficulty minus skill (shared and of the domain) minus memory of the utterance; what is drawn
// teaches most at middle error; one text in ten is wrong.
class SyntheticLearner {
 public:
  SyntheticLearner(const Sampler::Context& context, uint64_t seed)
      : context_(context), key_(RandomKey(seed).with("learner")), memory_(context.domain.size(), 0) {}

  double error(const Draw& draw, uint64_t step) {
    const uint32_t i = draw.utterance;
    const uint32_t d = context_.domain[i];
    const RandomKey key = key_.with(i);
    const bool is_wrong = key.uniform(0) < 0.1;
    const double difficulty = 1.2 * key.normal(1) + 0.15 * (context_.cost[i] - 4) + 0.5 * d;
    const double expected = is_wrong ? 0.9 : 1 / (1 + std::exp(common_ + own_[d] + memory_[i] - difficulty));
    if (draw.is_learned) {
      const double lesson = is_wrong ? 0 : expected * (1 - expected) * (1 - expected) + 0.02;
      common_ += 2e-4 * lesson;
      own_[d] += 3e-4 * lesson;
      memory_[i] += 0.05f;
    }
    return std::clamp(expected + 0.08 * key.normal(100 + step), 0.0, 1.0);
  }

 private:
  const Sampler::Context& context_;
  RandomKey key_;
  double common_ = -1;
  double own_[3] = {0, 0, 0};
  std::vector<float> memory_;
};

class CurriculumSimulation : public testing::TestWithParam<uint64_t> {};

TEST_P(CurriculumSimulation, DrawnErrorStaysWithinOnePointOfTheTargetWhileOnTarget) {
  const uint64_t seed = GetParam();
  const Sampler::Context context = synthetic_context({4000, 6000, 8000}, seed);
  SyntheticLearner learner(context, seed);
  TrainingLoop::Setup setup;
  setup.yaml = "{type: curriculum, max_repeats: 0}";
  setup.batch = {540, 8, 4, 8};
  double drawn[3] = {0, 0, 0};
  int draws[3] = {0, 0, 0};
  TrainingLoop loop(setup, context, [&](const Draw& draw, uint64_t step) {
    const double c = learner.error(draw, step);
    drawn[context.domain[draw.utterance]] += c;
    ++draws[context.domain[draw.utterance]];
    return c;
  });
  auto& sampler = loop.sampler_as<CurriculumSampler>();
  bool was_on_target[3] = {true, true, true};
  int windows = 0, in_band = 0;
  double bias = 0;
  for (int step = 1; step <= 1000; ++step) {
    loop.step();
    for (size_t d = 0; d < 3; ++d) was_on_target[d] = was_on_target[d] && sampler.controller(d).state() == "on target";
    if (step % 50 != 0) continue;
    for (size_t d = 0; d < 3; ++d) {
      if (was_on_target[d] && draws[d] >= 1500) {
        const double off = drawn[d] / draws[d] - 0.10;
        ++windows;
        in_band += std::abs(off) <= 0.01;
        bias += off;
      }
      drawn[d] = draws[d] = 0;
      was_on_target[d] = true;
    }
  }
  std::printf("seed %d: %d of %d on-target windows within 10 ± 1 points; bias %+.2f points\n", static_cast<int>(seed),
              in_band, windows, 100 * bias / windows);
  EXPECT_GE(windows, 20);
  EXPECT_GE(in_band, 0.9 * windows);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CurriculumSimulation, testing::Values(1, 2));

}  // namespace
}  // namespace rehearse
