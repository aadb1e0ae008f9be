// What every registered sampler must hold, built from its own example.
#include "sampler_fixture.h"

namespace rehearse {
namespace {

class EverySampler : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Sampler> make(const Sampler::Context& context) const {
    return make_sampler(Registry<Sampler>::instance().entries().at(GetParam()).example, context);
  }
};

double fake_cer(const Draw& draw) {
  return RandomKey(99).with(draw.utterance).uniform(draw.visit) / (1.0 + draw.visit);
}

// Plans and observes one window of 60 draws at `step`.
std::vector<Draw> run_window(Sampler& sampler, uint64_t step) {
  sampler.begin_window(step);
  std::vector<Draw> draws;
  std::vector<Observation> observations;
  for (uint32_t i = 0; i < 60; ++i) {
    draws.push_back(sampler.draw(i));
    observations.push_back({i, draws.back(), fake_cer(draws.back()), draws.back().utterance % 40 == 7});
  }
  sampler.observe(step, observations, step < 5);
  return draws;
}

TEST_P(EverySampler, DrawsValidUtterancesOfEveryDomain) {
  const Sampler::Context context = synthetic_context({30, 1, 200});
  auto sampler = make(context);
  std::vector<int> draws(3, 0);
  for (uint64_t step = 0; step < 40; ++step) {
    for (const Draw& draw : run_window(*sampler, step)) {
      ASSERT_LT(draw.utterance, 231u);
      ++draws[context.domain[draw.utterance]];
    }
  }
  for (int count : draws) EXPECT_GT(count, 100);
}

TEST_P(EverySampler, IsAFunctionOfSeedAndObservations) {
  const Sampler::Context context = synthetic_context({30, 200});
  auto one = make(context);
  auto two = make(context);
  Sampler::Context reseeded = context;
  reseeded.seed = 8;
  auto other = make(reseeded);
  bool differs = false;
  for (uint64_t step = 0; step < 40; ++step) {
    const auto draws = run_window(*one, step);
    EXPECT_EQ(draws, run_window(*two, step));
    differs = differs || !(draws == run_window(*other, step));
  }
  EXPECT_TRUE(differs) << "another seed draws otherwise";
}

TEST_P(EverySampler, SavedAtEveryStepItContinuesIdenticallyAndSavingChangesNothing) {
  const Sampler::Context context = synthetic_context({30, 300});
  auto unbroken = make(context);
  auto saved = make(context);
  for (uint64_t step = 0; step < 50; ++step) {
    State state;
    saved->save(state);
    saved = make(context);
    saved->load(state);
    State again;
    saved->save(again);
    EXPECT_EQ(state.values, again.values);
    ASSERT_EQ(run_window(*unbroken, step), run_window(*saved, step)) << "step " << step;
    EXPECT_EQ(unbroken->report(), saved->report());
  }
}

TEST_P(EverySampler, RefusesAStateOfAnotherCorpusOrNone) {
  State state;
  make(synthetic_context({30, 200}))->save(state);
  EXPECT_THROW(make(synthetic_context({30, 201}))->load(state), DataError);
  EXPECT_THROW(make(synthetic_context({30, 200}))->load(State()), DataError);
  for (const auto& [key, value] : state.values.at("sampler").items()) {
    State damaged = state;
    damaged.values["sampler"].erase(key);
    EXPECT_THROW(make(synthetic_context({30, 200}))->load(damaged), DataError) << key;
  }
  for (const auto& [name, array] : state.arrays) {
    State damaged = state;
    damaged.arrays.erase(name);
    EXPECT_THROW(make(synthetic_context({30, 200}))->load(damaged), DataError) << name;
  }
}

TEST_P(EverySampler, ABadFileWeighsNothingFromThenOn) {
  const Sampler::Context context = synthetic_context({4});
  auto sampler = make(context);
  for (uint64_t step = 0; step < 60; ++step) {
    sampler->begin_window(step);
    std::vector<Observation> observations;
    for (uint32_t i = 0; i < 20; ++i) {
      const Draw draw = sampler->draw(i);
      EXPECT_TRUE(step <= 20 || draw.utterance != 2 || !draw.is_learned);
      observations.push_back({i, draw, 0.1, draw.utterance == 2});
    }
    sampler->observe(step, observations, false);
  }
}

TEST_P(EverySampler, ReadsTheWholeCurriculumMap) {
  Config config = Config::load(std::string(REHEARSE_SOURCE_DIR) + "/configs/base.yaml");
  ConfigNode node = config.root().child("curriculum");
  const Sampler::Context context = synthetic_context({10});
  node.integer("window_steps", 4);
  node.required_text("type");
  EXPECT_NO_THROW(Registry<Sampler>::instance().create(GetParam(), node, context));
  for (const auto& [name, option] : config.value().find("curriculum")->map)
    EXPECT_TRUE(option->is_read) << "curriculum." << name;
}

TEST_P(EverySampler, NamesTheNearestDomainOfAnUnknownOne) {
  const std::string yaml = "{type: " + GetParam() + ", domains: {domian_1: {replay: true}}}";
  try {
    make_sampler(yaml, synthetic_context({10, 10}));
    FAIL() << "expected a ConfigError";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("test.yaml:1: domains.domian_1"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("did you mean \"domain_1\""), std::string::npos) << error.what();
  }
}

std::vector<std::string> registered_names() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : Registry<Sampler>::instance().entries()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Registered, EverySampler, testing::ValuesIn(registered_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace rehearse
