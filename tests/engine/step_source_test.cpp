#include "trainer/engine/step_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/data/sampler/sampler_fixture.h"

namespace rehearse {
namespace {

constexpr uint64_t kSteps = 30;

bool is_equal(const StepPlan& a, const StepPlan& b) {
  if (a.step != b.step || a.num_draws != b.num_draws || a.micro_batches.size() != b.micro_batches.size()) return false;
  for (size_t i = 0; i < a.micro_batches.size(); ++i)
    if (a.micro_batches[i].draws != b.micro_batches[i].draws ||
        a.micro_batches[i].positions != b.micro_batches[i].positions)
      return false;
  return true;
}

double fake_cer(const Draw& draw, uint64_t step) {
  const double hardness = RandomKey(3).uniform(draw.utterance);
  return std::min(1.0, hardness + 0.5 / static_cast<double>(1 + step + draw.visit));
}

// What one rank of a run holds, with a model that is a function.
class Replica {
 public:
  explicit Replica(const std::string& type) : context_(synthetic_context({40, 90, 15})) {
    sampler_ = make_sampler("{type: " + type + "}", context_);
    planner_ =
        std::make_unique<BatchPlanner>(BatchPlanner::Options{60, 4, 4, 8}, context_.cost, context_.seed, *sampler_);
    source_ = std::make_unique<StepSource>(*sampler_, *planner_);
  }
  StepPlan take(size_t depth) {
    source_->plan_ahead(depth);
    return source_->take();
  }
  // The observations of micro-batches first … last - 1.
  static std::vector<Observation> decode(const StepPlan& plan, size_t first, size_t last, double offset = 0) {
    std::vector<Observation> observations;
    for (size_t m = first; m < last; ++m)
      for (size_t i = 0; i < plan.micro_batches[m].draws.size(); ++i) {
        const Draw& draw = plan.micro_batches[m].draws[i];
        observations.push_back({plan.micro_batches[m].positions[i], draw,
                                std::min(1.0, offset + fake_cer(draw, plan.step)), draw.utterance % 31 == 30});
      }
    return observations;
  }
  void observe(const StepPlan& plan, std::vector<Observation> all) {
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.position < b.position; });
    source_->observe(plan.step, std::move(all), plan.step < 4);
  }
  StepPlan step(size_t depth = 3, double offset = 0) {
    StepPlan plan = take(depth);
    observe(plan, decode(plan, 0, plan.micro_batches.size(), offset));
    return plan;
  }
  StepSource& source() { return *source_; }

 private:
  Sampler::Context context_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<BatchPlanner> planner_;
  std::unique_ptr<StepSource> source_;
};

std::vector<StepPlan> plans_of(Replica& replica, size_t depth = 3, double offset = 0) {
  std::vector<StepPlan> plans;
  for (uint64_t i = 0; i < kSteps; ++i) plans.push_back(replica.step(depth, offset));
  return plans;
}

class StepSourceTest : public ::testing::TestWithParam<std::string> {};

TEST_P(StepSourceTest, StepsComeInOrderWithAllTheirDraws) {
  Replica replica(GetParam());
  for (uint64_t i = 0; i < kSteps; ++i) {
    const StepPlan plan = replica.step();
    EXPECT_EQ(plan.step, i);
    size_t draws = 0;
    for (const MicroBatch& batch : plan.micro_batches) draws += batch.draws.size();
    EXPECT_EQ(draws, plan.num_draws);
    EXPECT_GT(draws, 0u);
  }
}

TEST_P(StepSourceTest, HowFarAheadIsPlannedChangesNothing) {
  Replica shallow(GetParam()), deep(GetParam());
  const std::vector<StepPlan> one = plans_of(shallow, 1), many = plans_of(deep, 6);
  for (uint64_t i = 0; i < kSteps; ++i) EXPECT_TRUE(is_equal(one[i], many[i])) << "step " << i;
}

TEST_P(StepSourceTest, SavedAtAnyStepItPlansTheSame) {
  Replica whole(GetParam());
  const std::vector<StepPlan> expected = plans_of(whole);
  Replica running(GetParam());
  for (uint64_t saved = 0; saved < kSteps; ++saved) {
    State state;
    running.source().save(state);
    state.values = nlohmann::json::parse(state.values.dump());  // as it travels through state.json
    Replica resumed(GetParam());
    resumed.source().load(state);
    for (uint64_t i = saved; i < kSteps; ++i)
      ASSERT_TRUE(is_equal(resumed.step(), expected[i])) << "saved at " << saved << ", step " << i;
    running.step();
  }
}

TEST_P(StepSourceTest, EveryWorldSizePlansTheSame) {
  Replica lone(GetParam());
  const std::vector<StepPlan> expected = plans_of(lone);
  for (size_t world : {2, 4}) {
    std::vector<std::unique_ptr<Replica>> ranks;
    for (size_t rank = 0; rank < world; ++rank) ranks.push_back(std::make_unique<Replica>(GetParam()));
    for (uint64_t i = 0; i < kSteps; ++i) {
      std::vector<Observation> gathered;
      std::vector<StepPlan> plans;
      for (size_t rank = 0; rank < world; ++rank) {
        plans.push_back(ranks[rank]->take(3));
        ASSERT_TRUE(is_equal(plans.back(), expected[i])) << "rank " << rank << " of " << world << ", step " << i;
        const size_t per_rank = plans.back().micro_batches.size() / world;
        for (Observation& one : Replica::decode(plans.back(), rank * per_rank, (rank + 1) * per_rank))
          gathered.push_back(one);
      }
      for (size_t rank = 0; rank < world; ++rank) ranks[rank]->observe(plans[rank], gathered);
    }
  }
}

TEST_P(StepSourceTest, PlannedButNotTakenStepsAreInTheState) {
  Replica running(GetParam());
  for (int i = 0; i < 5; ++i) running.step();
  running.source().plan_ahead(3);
  const size_t waiting = running.source().planned().size();
  ASSERT_GT(waiting, 0u);
  State state;
  running.source().save(state);
  Replica resumed(GetParam());
  resumed.source().load(state);
  ASSERT_EQ(resumed.source().planned().size(), waiting);
  for (size_t i = 0; i < waiting; ++i)
    EXPECT_TRUE(is_equal(resumed.source().planned()[i], running.source().planned()[i])) << i;
}

TEST_P(StepSourceTest, ADamagedStateIsADataError) {
  Replica running(GetParam());
  for (int i = 0; i < 3; ++i) running.step();
  State state;
  running.source().save(state);
  for (const char* key : {"planned", "pending", "num_observed"}) {
    State damaged = state;
    damaged.values["step_source"].erase(key);
    EXPECT_THROW(Replica(GetParam()).source().load(damaged), DataError) << key;
  }
}

// Any one value of another type, or gone: it is refused, or it does not matter. And then the state before loads.
TEST_P(StepSourceTest, AnyValueOfAnotherTypeIsADataErrorOrDoesNotMatter) {
  Replica running(GetParam());
  for (int i = 0; i < 3; ++i) running.step();
  running.source().plan_ahead(2);
  State state;
  running.source().save(state);
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(concat("seed ", seed));
  const nlohmann::json flat = state.values.flatten();
  const std::vector<nlohmann::json> others = {nullptr, "text", nlohmann::json::array(), nlohmann::json::object(), -7.5};
  size_t refused = 0, number = 0;
  const auto expect_refused_or_fine = [&](const State& damaged, const std::string& what) {
    Replica replica(GetParam());
    try {
      replica.source().load(damaged);
      for (int i = 0; i < 3; ++i) replica.step();
    } catch (const DataError& failure) {
      ++refused;
      EXPECT_THAT(failure.what(), ::testing::Not(::testing::HasSubstr("json.exception"))) << what;
    } catch (const std::exception& failure) {
      ADD_FAILURE() << what << ": " << failure.what();
    }
    replica.source().load(state);
  };
  for (const auto& [pointer, value] : flat.items()) {
    if (RandomKey(seed).below(flat.size(), number++) >= 150) continue;
    State damaged = state;
    damaged.values[nlohmann::json::json_pointer(pointer)] = others[number % others.size()];
    expect_refused_or_fine(damaged, concat(pointer, " ", others[number % others.size()].dump()));
  }
  for (const auto& [name, array] : state.arrays) {
    State damaged = state;
    damaged.arrays.erase(name);
    expect_refused_or_fine(damaged, name + " is gone");
    damaged.arrays[name] = StateArray::of<float>({1});
    expect_refused_or_fine(damaged, name + " of another type");
    damaged.arrays[name] = {array.type, {}};
    expect_refused_or_fine(damaged, name + " empty");
  }
  EXPECT_GE(refused, state.arrays.size());
}

INSTANTIATE_TEST_SUITE_P(Samplers, StepSourceTest, ::testing::Values("uniform", "curriculum"),
                         [](const auto& info) { return info.param; });

TEST(StepSource, ObservationsReachTheCurriculum) {
  Replica easy("curriculum"), hard("curriculum");
  const std::vector<StepPlan> a = plans_of(easy), b = plans_of(hard, 3, 0.6);
  EXPECT_TRUE(is_equal(a[0], b[0])) << "nothing was observed yet";
  EXPECT_FALSE(is_equal(a[kSteps - 1], b[kSteps - 1]));
}

TEST(StepSource, UniformDrawsDoNotLookAtObservations) {
  Replica easy("uniform"), hard("uniform");
  const std::vector<StepPlan> a = plans_of(easy), b = plans_of(hard, 3, 0.6);
  for (uint64_t i = 0; i < kSteps; ++i) EXPECT_TRUE(is_equal(a[i], b[i])) << i;
}

}  // namespace
}  // namespace rehearse
