#include "data/sampler/batches/batch_planner.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "data/sampler/batches/length_batches.h"
#include "data/speech/manifest.h"
#include "sampler_fixture.h"

namespace rehearse {
namespace {

double padded_of(const StepPlan& plan, const std::vector<float>& duration_s) {
  double padded = 0;
  for (const MicroBatch& batch : plan.micro_batches) padded += padded_seconds(batch, duration_s);
  return padded;
}

double speech_of(const StepPlan& plan, const std::vector<float>& duration_s) {
  double seconds = 0;
  for (const MicroBatch& batch : plan.micro_batches)
    for (const Draw& draw : batch.draws) seconds += duration_s[draw.utterance];
  return seconds;
}

std::vector<uint32_t> utterances_of(const StepPlan& plan) {
  std::vector<uint32_t> utterances;
  for (const MicroBatch& batch : plan.micro_batches)
    for (const Draw& draw : batch.draws) utterances.push_back(draw.utterance);
  return utterances;
}

TEST(BatchPlanner, EveryStepHasAllMicroBatchesAndPositionsInOrder) {
  const Sampler::Context context = synthetic_context({300, 40, 1000});
  auto sampler = make_sampler("type: uniform", context);
  BatchPlanner planner({60, 6, 3, 8}, context.cost, 5, *sampler);
  for (uint64_t step = 0; step < 30; ++step) {
    EXPECT_EQ(planner.next_step(), step);
    const StepPlan plan = planner.next();
    EXPECT_EQ(plan.step, step);
    ASSERT_EQ(plan.micro_batches.size(), 6u);
    uint32_t position = 0;
    for (const MicroBatch& batch : plan.micro_batches) {
      ASSERT_FALSE(batch.draws.empty());
      ASSERT_EQ(batch.draws.size(), batch.positions.size());
      for (uint32_t p : batch.positions) EXPECT_EQ(p, position++);
    }
    EXPECT_EQ(position, plan.num_draws);
  }
}

TEST(BatchPlanner, StepsHoldAboutTheWantedPaddedSecondsAndMixLengths) {
  const Sampler::Context context = synthetic_context({3000});
  auto sampler = make_sampler("type: uniform", context);
  BatchPlanner planner({120, 8, 4, 8}, context.cost, 5, *sampler);
  for (int step = 0; step < 80; ++step) {
    const StepPlan plan = planner.next();
    EXPECT_NEAR(padded_of(plan, context.cost), 120, 6);
    float shortest = 100, longest = 0;
    for (uint32_t u : utterances_of(plan)) {
      shortest = std::min(shortest, context.cost[u]);
      longest = std::max(longest, context.cost[u]);
    }
    EXPECT_LT(shortest, 3.6) << "an eighth of the seconds lies below 3.04 s";
    EXPECT_GT(longest, 6.5);
  }
}

TEST(BatchPlanner, KeepsEveryDrawOfTheWindowExactlyOnce) {
  const Sampler::Context context = synthetic_context({200, 100});
  auto sampler = make_sampler("type: uniform", context);
  auto twin = make_sampler("type: uniform", context);
  BatchPlanner planner({50, 4, 4, 8}, context.cost, 5, *sampler);
  for (int window = 0; window < 5; ++window) {
    std::vector<uint32_t> planned, drawn;
    for (int s = 0; s < 4; ++s) {
      const auto step = utterances_of(planner.next());
      planned.insert(planned.end(), step.begin(), step.end());
    }
    twin->begin_window(static_cast<uint64_t>(4 * window));
    for (size_t i = 0; i < planned.size(); ++i) drawn.push_back(twin->draw(i).utterance);
    std::sort(planned.begin(), planned.end());
    std::sort(drawn.begin(), drawn.end());
    EXPECT_EQ(planned, drawn);
  }
}

TEST(BatchPlanner, OneUtteranceLongerThanTheBatchStillWorks) {
  Sampler::Context context = synthetic_context({50});
  context.cost[17] = 500;
  auto sampler = make_sampler("type: uniform", context);
  BatchPlanner planner({20, 2, 2, 8}, context.cost, 5, *sampler);
  int seen = 0;
  for (int step = 0; step < 60; ++step) {
    const StepPlan plan = planner.next();
    ASSERT_EQ(plan.micro_batches.size(), 2u);
    for (const MicroBatch& batch : plan.micro_batches) {
      const bool has_long =
          std::any_of(batch.draws.begin(), batch.draws.end(), [](const Draw& d) { return d.utterance == 17; });
      seen += has_long;
      EXPECT_TRUE(!has_long || batch.draws.size() == 1) << "nothing short is padded to the long one";
    }
  }
  EXPECT_GT(seen, 1);
}

TEST(BatchPlanner, DrawsMoreWhenThereAreFewerDrawsThanMicroBatches) {
  Sampler::Context context = synthetic_context({1});
  context.cost[0] = 30;
  auto sampler = make_sampler("type: uniform", context);
  BatchPlanner planner({10, 8, 4, 8}, context.cost, 5, *sampler);
  for (int step = 0; step < 8; ++step) {
    const StepPlan plan = planner.next();
    ASSERT_EQ(plan.micro_batches.size(), 8u);
    EXPECT_EQ(plan.num_draws, 8u);
    for (const MicroBatch& batch : plan.micro_batches) EXPECT_EQ(batch.draws.size(), 1u);
  }
}

TEST(BatchPlanner, NeedsTheObservationsOfItsLagBeforeTheWindow) {
  const Sampler::Context context = synthetic_context({100});
  auto sampler = make_sampler("type: uniform", context);
  BatchPlanner planner({20, 2, 4, 8}, context.cost, 5, *sampler);
  EXPECT_EQ(planner.observations_needed_for(0), 0u);
  EXPECT_EQ(planner.observations_needed_for(4), 0u);
  EXPECT_EQ(planner.observations_needed_for(8), 1u) << "step 0 is 8 steps before the window";
  EXPECT_EQ(planner.observations_needed_for(11), 1u);
  EXPECT_EQ(planner.observations_needed_for(12), 5u);
  planner.next();
  EXPECT_EQ(planner.observations_needed_for(3), 0u);
  EXPECT_EQ(planner.observations_needed_for(8), 1u);
}

TEST(BatchPlanner, SavedAtAnyStepItContinuesWithTheSamePlans) {
  const Sampler::Context context = synthetic_context({300, 100});
  const BatchPlanner::Options options{30, 4, 4, 8};
  auto sampler = make_sampler("type: uniform", context);
  BatchPlanner planner(options, context.cost, 5, *sampler);
  for (int step = 0; step < 14; ++step) {
    State state;
    planner.save(state);
    sampler->save(state);
    auto other_sampler = make_sampler("type: uniform", context);
    BatchPlanner other(options, context.cost, 5, *other_sampler);
    other_sampler->load(state);
    other.load(state);
    EXPECT_EQ(other.next_step(), planner.next_step());
    const StepPlan expected = planner.next();
    const StepPlan found = other.next();
    ASSERT_EQ(found.micro_batches.size(), expected.micro_batches.size());
    for (size_t m = 0; m < expected.micro_batches.size(); ++m) {
      EXPECT_EQ(found.micro_batches[m].draws, expected.micro_batches[m].draws);
      EXPECT_EQ(found.micro_batches[m].positions, expected.micro_batches[m].positions);
    }
  }
}

TEST(BatchPlanner, RefusesAStateOfAnotherShape) {
  const Sampler::Context context = synthetic_context({100});
  auto sampler = make_sampler("type: uniform", context);
  BatchPlanner planner({30, 4, 4, 8}, context.cost, 5, *sampler);
  planner.next();
  State state;
  planner.save(state);
  BatchPlanner other({30, 8, 4, 8}, context.cost, 5, *sampler);
  EXPECT_THROW(other.load(state), DataError);
  state.arrays["planner.bins"] = StateArray::of(std::vector<uint16_t>{1});
  EXPECT_THROW(planner.load(state), DataError);
  EXPECT_THROW(planner.load(State()), DataError);
}

TEST(BatchPlanner, ReadsItsOptionsWithinTheirRanges) {
  Config config = Config::parse("batch: {seconds: 40, micro_batches: 2}\ncurriculum: {lag_steps: 3, window_steps: 2}");
  ConfigNode batch = config.root().child("batch");
  ConfigNode curriculum = config.root().child("curriculum");
  const auto options = BatchPlanner::Options::from(batch, curriculum);
  EXPECT_EQ(options.cost, 40);
  Config other = Config::parse("batch: {seconds: 40, cost: 50}");
  ConfigNode with_cost = other.root().child("batch"), nothing = other.root().child("curriculum");
  EXPECT_EQ(BatchPlanner::Options::from(with_cost, nothing).cost, 50) << "the name of other tasks";
  EXPECT_EQ(options.micro_batches, 2);
  EXPECT_EQ(options.lag_steps, 3);
  EXPECT_EQ(options.window_steps, 2);
  Config broken = Config::parse("batch: {micro_batches: 0}\ncurriculum: {lag_steps: 0}");
  ConfigNode broken_batch = broken.root().child("batch");
  EXPECT_THROW(BatchPlanner::Options::from(broken_batch, curriculum), ConfigError);
  ConfigNode broken_curriculum = broken.root().child("curriculum");
  EXPECT_THROW(BatchPlanner::Options::from(batch, broken_curriculum), ConfigError);
}

// Corpus order of the real manifests: by domain.
Sampler::Context real_context(const std::string& folder) {
  std::vector<Utterance> utterances = read_manifest(folder + "/all_train.jsonl");
  std::stable_sort(utterances.begin(), utterances.end(),
                   [](const Utterance& a, const Utterance& b) { return a.domain < b.domain; });
  Sampler::Context context;
  context.seed = 3;
  for (const Utterance& u : utterances) {
    if (context.domains.empty() || context.domains.back() != u.domain) context.domains.push_back(u.domain);
    context.domain.push_back(static_cast<uint32_t>(context.domains.size() - 1));
    context.cost.push_back(static_cast<float>(u.duration_s));
    context.ids.push_back(u.id);
  }
  return context;
}

TEST(BatchPlanner, WastesAtMostFivePercentPaddingOnRealSpeech) {
  const char* folder = std::getenv("REHEARSE_TEST_DATA");
  if (folder == nullptr) GTEST_SKIP() << "REHEARSE_TEST_DATA is not set: the padding of real speech was not measured";
  const Sampler::Context context = real_context(folder);
  auto sampler = make_sampler("type: uniform", context);
  BatchPlanner planner({120, 8, 4, 8}, context.cost, 5, *sampler);
  double padded = 0, speech = 0, least = 1e9, most = 0, domains = 0, uneven = 0;
  const int steps = 200;
  for (int step = 0; step < steps; ++step) {
    const StepPlan plan = planner.next();
    const double seconds = padded_of(plan, context.cost);
    padded += seconds;
    speech += speech_of(plan, context.cost);
    StepPlan half = plan;  // of the first of two ranks
    half.micro_batches.resize(plan.micro_batches.size() / 2);
    uneven += std::abs(2 * padded_of(half, context.cost) - seconds) / seconds / steps;
    least = std::min(least, seconds);
    most = std::max(most, seconds);
    std::set<uint32_t> present;
    for (uint32_t u : utterances_of(plan)) present.insert(context.domain[u]);
    domains += static_cast<double>(present.size()) / steps;
  }
  std::printf(
      "padding waste %.2f %%; padded seconds per step %.1f to %.1f, mean %.1f; %.1f of %zu domains per step;"
      " two ranks differ by %.2f %% of a step\n",
      100 * (padded / speech - 1), least, most, padded / steps, domains, context.domains.size(), 100 * uneven);
  EXPECT_LT(uneven, 0.03) << "0.050 in the order of the deal";
  EXPECT_LT(padded / speech - 1, 0.05);
  EXPECT_NEAR(padded / steps, 120, 3);
  EXPECT_GT(least, 108);
  EXPECT_LT(most, 132);
}

}  // namespace
}  // namespace rehearse
