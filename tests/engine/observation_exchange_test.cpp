// Closed loops of worlds of different sizes, with the product's own way from planned draws to gathered observations.
#include "trainer/engine/exchange/observation_exchange.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "tests/data/sampler/sampler_fixture.h"
#include "trainer/engine/step_source.h"

namespace rehearse {
namespace {

constexpr uint64_t kSeed = 17;
constexpr size_t kMicroBatches = 8;

double heard(const Draw& draw, uint64_t step) {
  const double hardness = std::pow(RandomKey(kSeed).uniform(draw.utterance), 3.0);
  return std::clamp(hardness + 0.02 * RandomKey(kSeed).with(draw.utterance).normal(step), 0.0, 1.0);
}

// Which micro-batches a rank has and in which order it comes to them.
using Dealing = std::vector<std::vector<size_t>>;

Dealing slices(size_t ranks) {
  Dealing dealing(ranks);
  for (size_t m = 0; m < kMicroBatches; ++m) dealing[m / (kMicroBatches / ranks)].push_back(m);
  return dealing;
}

Dealing shuffled(size_t ranks, uint64_t seed) {
  std::vector<size_t> order;
  for (size_t m = 0; m < kMicroBatches; ++m) order.push_back(m);
  for (size_t i = kMicroBatches - 1; i > 0; --i) std::swap(order[i], order[RandomKey(seed).below(i + 1, i)]);
  Dealing dealing(ranks);
  for (size_t i = 0; i < kMicroBatches; ++i) dealing[i % ranks].push_back(order[i]);
  return dealing;
}

// Utterances and visits of 60 steps, and what the sampler reports in the end.
std::string run(const Dealing& dealing) {
  const Sampler::Context context = synthetic_context({40, 300, 90}, kSeed);
  auto sampler = make_sampler("{type: curriculum, max_repeats: 0}", context);
  BatchPlanner planner({60, static_cast<int>(kMicroBatches), 4, 8}, context.cost, context.seed, *sampler);
  StepSource source(*sampler, planner);
  std::string story;
  for (uint64_t step = 0; step < 60; ++step) {
    source.plan_ahead(3);
    const StepPlan plan = source.take();
    std::vector<std::vector<std::byte>> packed(dealing.size());
    for (size_t rank = 0; rank < dealing.size(); ++rank)
      for (const size_t m : dealing[rank])
        for (size_t i = 0; i < plan.micro_batches[m].draws.size(); ++i) {
          const Draw& draw = plan.micro_batches[m].draws[i];
          pack_observation({plan.micro_batches[m].positions[i], draw, heard(draw, step), draw.utterance % 50 == 7,
                            draw.utterance % 50 == 8},
                           packed[rank]);
        }
    for (const MicroBatch& batch : plan.micro_batches)
      for (const Draw& draw : batch.draws) story += concat(draw.utterance, ".", draw.visit, " ");
    source.observe(step, merge_observations(packed), step < 4);
  }
  return story + sampler->report().dump();
}

TEST(ObservationExchange, DrawsAreTheSameForOneTwoAndFourRanks) {
  const std::string one = run(slices(1));
  EXPECT_GT(one.size(), 5000u);
  for (const size_t ranks : {2, 4, 8}) EXPECT_EQ(run(slices(ranks)), one) << ranks;
}

TEST(ObservationExchange, DrawsAreTheSameWhoeverHasWhichMicroBatchAndWhenever) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  const std::string one = run(slices(1));
  for (const size_t ranks : {1, 2, 4})
    for (uint64_t seed = kSeed; seed < kSeed + 3; ++seed) EXPECT_EQ(run(shuffled(ranks, seed)), one) << ranks;
}

TEST(ObservationExchange, CarriesEveryField) {
  std::vector<std::byte> bytes;
  pack_observation({7, {3, 2, 5, true, false}, 0.25, true, false}, bytes);
  pack_observation({4, {9, 1, 0, false, true}, 0.5, false, true}, bytes);
  const std::vector<Observation> merged = merge_observations({{}, bytes});
  ASSERT_EQ(merged.size(), 2u);
  EXPECT_EQ(merged[0].position, 4u);
  EXPECT_TRUE(merged[0].is_infeasible && !merged[0].is_bad_file);
  EXPECT_TRUE(merged[1].is_bad_file && !merged[1].is_infeasible);
  EXPECT_TRUE(merged[1].draw == (Draw{3, 2, 5, true, false}));
  EXPECT_EQ(merged[1].error, 0.25);
  bytes.pop_back();
  EXPECT_THROW(merge_observations({bytes}), BugError);
}

}  // namespace
}  // namespace rehearse
