// What every registered sampler must hold, built from its own example.
#include <algorithm>
#include <functional>
#include <set>

#include "data/sampler/sampler_options.h"
#include "sampler_fixture.h"

namespace rehearse {
namespace {

// A sampler with a key of its own: every utterance in turn, from `first`.
class RotatingSampler : public Sampler {
 public:
  struct Options {
    SamplerOptions shared;
    int64_t first = 0;
    static Options from(ConfigNode& node, const Sampler::Context& context) {
      Options options{SamplerOptions::from(node, context)};
      options.first = node.integer("first", options.first, {0, 1000});
      return options;
    }
  };
  RotatingSampler(const Options& options, const Context& context)
      : cursor_(static_cast<uint32_t>(options.first)), size_(static_cast<uint32_t>(context.domain.size())) {}
  void begin_window(uint64_t) override {}
  Draw draw(uint64_t) override { return {cursor_++ % size_}; }
  void observe(uint64_t, std::span<const Observation>, bool) override {}
  void save(State&) const override {}
  void load(const State&) override {}
  void import_table(const State&, const std::vector<uint64_t>&, const std::vector<uint64_t>&) override {}
  void set_planned_draws(uint64_t) override {}
  nlohmann::json report() const override { return {}; }
  std::vector<std::string> notes() const override { return {}; }

 private:
  uint32_t cursor_, size_;
};

// Built as the registry builds parts, beside it: the suite below is for what the trainer has.
std::unique_ptr<Sampler> make_rotating(Config& config) {
  ConfigNode node = config.root();
  node.required_text("type");
  const Sampler::Context context = synthetic_context({10});
  auto sampler = std::make_unique<RotatingSampler>(options_from<RotatingSampler::Options>(node, context), context);
  node.expect_all_read();
  return sampler;
}

TEST(SamplerKeys, ASamplerMayHaveKeysOfItsOwnBesideTheSharedOnes) {
  Config config = Config::parse("{type: rotating, first: 7, target_error: 0.2}");
  EXPECT_EQ(make_rotating(config)->draw(0).utterance, 7u);
}

TEST(SamplerKeys, AnUnknownKeyIsAnErrorThatNamesTheNearest) {
  const auto refusal = [](const std::string& yaml, auto make) -> std::string {
    Config config = Config::parse(yaml, "test.yaml");
    try {
      make(config);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  const auto registered = [](Config& config) {
    ConfigNode node = config.root();
    Registry<Sampler>::instance().create(node, synthetic_context({10}));
    node.expect_all_read();
  };
  EXPECT_NE(refusal("{type: rotating, frist: 7}", make_rotating).find("\"first\""), std::string::npos);
  EXPECT_NE(refusal("{type: uniform, first: 7}", registered).find("first"), std::string::npos) << "another one's key";
  EXPECT_NE(refusal("{type: uniform, strike: 2}", registered).find("\"strikes\""), std::string::npos);
}

class EverySampler : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Sampler> make(const Sampler::Context& context) const {
    return make_sampler(Registry<Sampler>::instance().entries().at(GetParam()).example, context);
  }
};

double fake_error(const Draw& draw) {
  return RandomKey(99).with(draw.utterance).uniform(draw.visit) / (1.0 + draw.visit);
}

// Plans and observes one window of 60 draws at `step`.
std::vector<Draw> run_window(Sampler& sampler, uint64_t step) {
  sampler.begin_window(step);
  std::vector<Draw> draws;
  std::vector<Observation> observations;
  for (uint32_t i = 0; i < 60; ++i) {
    draws.push_back(sampler.draw(i));
    observations.push_back({i, draws.back(), fake_error(draws.back()), draws.back().utterance % 40 == 7});
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

TEST_P(EverySampler, AFileThatCanBeReadAgainIsLearnedFromAgain) {
  const Sampler::Context context = synthetic_context({40});
  auto sampler = make(context);
  int num_tried = 0;
  bool is_learned_again = false;
  for (uint64_t step = 0; step < 400; ++step) {
    sampler->begin_window(step);
    std::vector<Observation> observations;
    for (uint32_t i = 0; i < 20; ++i) {
      const Draw draw = sampler->draw(i);
      const bool is_lost = draw.utterance == 2 && step < 160;
      if (draw.utterance == 2 && step > 80 && step < 160) num_tried += draw.is_learned ? 0 : 1;
      if (draw.utterance == 2 && step > 300) is_learned_again = is_learned_again || draw.is_learned;
      observations.push_back({i, draw, 0.1, is_lost});
    }
    sampler->observe(step, observations, false);
  }
  EXPECT_GT(num_tried, 0) << "it is still tried now and then";
  EXPECT_TRUE(is_learned_again);
}

TEST_P(EverySampler, ADrawWithTooFewFramesIsNoObservedError) {
  const Sampler::Context context = synthetic_context({30});
  auto sampler = make(context);
  for (uint64_t step = 0; step < 40; ++step) {
    sampler->begin_window(step);
    std::vector<Observation> observations;
    for (uint32_t i = 0; i < 20; ++i) {
      const Draw draw = sampler->draw(i);
      const bool is_infeasible = draw.utterance % 2 == 0;
      observations.push_back({i, draw, is_infeasible ? 1.0 : 0.125, false, is_infeasible});
    }
    sampler->observe(step, observations, false);
  }
  const nlohmann::json domain = sampler->report().at("domains").at(0);
  EXPECT_NEAR(domain.at("drawn_error").get<double>(), 0.125, 1e-4);
  EXPECT_EQ(domain.value("quarantined", 0), 0);
}

TEST_P(EverySampler, ReadsEverySharedKey) {
  Config shared = Config::parse("{}");
  ConfigNode shared_node = shared.root();
  Sampler::Context context = synthetic_context({10});
  context.error_name = "cer";  // as base.yaml calls it
  SamplerOptions::from(shared_node, context);
  Config config = Config::load(std::string(REHEARSE_SOURCE_DIR) + "/configs/base.yaml");
  ConfigNode node = config.root().child("curriculum");
  EXPECT_NO_THROW(Registry<Sampler>::instance().create(GetParam(), node, context));
  for (const auto& [name, value] : shared.value().map) {
    const ConfigValue* option = config.value().find("curriculum")->find(name);
    ASSERT_NE(option, nullptr) << "configs/base.yaml lacks curriculum." << name;
    EXPECT_TRUE(option->is_read) << "curriculum." << name;
  }
}

// What fine-tuning and the list of doubtful texts ask of any run.
TEST_P(EverySampler, KeepsWhatWasObservedOfEveryUtterance) {
  Sampler::Context context = synthetic_context({40}, 3);
  for (uint64_t i = 0; i < 40; ++i) context.ids.push_back(mix64(i));
  auto sampler = make(context);
  std::vector<double> last(40, -1);
  for (uint64_t step = 0; step < 100; ++step) {
    sampler->begin_window(step);
    std::vector<Observation> observations;
    for (uint32_t i = 0; i < 20; ++i) {
      const Draw draw = sampler->draw(i);
      const double error = 0.01 * (draw.utterance % 20);
      if (step < 90) last[draw.utterance] = error;
      observations.push_back({i, draw, error, false});
    }
    sampler->observe(step, observations, false);
  }
  State state;
  sampler->save(state);
  EXPECT_EQ(state.array<uint64_t>("sampler.ids"), context.ids);
  const auto error = state.array<uint16_t>("sampler.table.error");
  for (uint32_t i = 0; i < 40; ++i) {
    if (last[i] < 0) continue;
    EXPECT_NEAR(error.at(i) / 65535.0, last[i], 1e-4) << i;
  }
  EXPECT_EQ(state.array<uint32_t>("sampler.quarantine.utterance").size(), 0u);

  Sampler::Context smaller = synthetic_context({20}, 3);  // every other one
  for (uint64_t i = 0; i < 20; ++i) smaller.ids.push_back(mix64(2 * i));
  for (const std::string& type : Registry<Sampler>::instance().names()) {
    auto tuned = make_sampler("{type: " + type + ", domains: {domain_0: {replay: true}}}", smaller);
    tuned->import_table(state, context.ids, smaller.ids);
    State tuned_state;
    tuned->save(tuned_state);
    const auto taken = tuned_state.array<uint16_t>("sampler.table.error");
    for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ(taken.at(i), error.at(size_t{2} * i)) << type;
    EXPECT_TRUE(tuned->unmeasured().empty()) << type << ": all is known";
  }
}

// Every key of a JSON value and the names of arrays, as a checkpoint holds them, with `error` in them.
std::set<std::string> names_with(const std::string& error, const State& state) {
  std::set<std::string> names;
  const std::function<void(const nlohmann::json&)> collect = [&](const nlohmann::json& value) {
    if (!value.is_structured()) return;
    for (const auto& [key, inner] : value.items()) {
      if (value.is_object() && key.find(error) != std::string::npos) names.insert(key);
      collect(inner);
    }
  };
  collect(state.values);
  for (const auto& [name, array] : state.arrays)
    if (name.find(error) != std::string::npos) names.insert(name);
  return names;
}

// Speech calls it "cer": configurations, checkpoints and metrics of earlier runs hold these names.
TEST_P(EverySampler, CallsTheErrorAsTheTaskDoes) {
  for (const std::string error : {"error", "cer"}) {
    const std::string other = error == "cer" ? "error" : "cer";
    Sampler::Context context = synthetic_context({40});
    context.error_name = error;
    const std::string yaml = "{type: " + GetParam() + ", target_" + error + ": 0.3, domains: {domain_0: {target_" +
                             error + ": 0.2, replay: true}}}";
    auto sampler = make_sampler(yaml, context);
    sampler->measure(std::vector<Sampler::Measured>{{0, 0.25}});
    run_window(*sampler, 0);
    const nlohmann::json domain = sampler->report().at("domains").at(0);
    for (const char* key : {"drawn_", "table_", "reference_"}) {
      EXPECT_TRUE(domain.contains(key + error)) << key << error;
      EXPECT_FALSE(domain.contains(key + other)) << key << other;
    }
    EXPECT_EQ(domain.value("target", 0.2), 0.2);  // uniform has none
    EXPECT_EQ(domain.contains("drawn_" + error + "_without_probes"), GetParam() == "curriculum");

    State state;
    sampler->save(state);
    EXPECT_EQ(names_with(error, state),
              (std::set<std::string>{"expected_" + error, "reference_" + error, "sampler.table." + error,
                                     "sampler.quarantine." + error, "sampler.quarantine." + error + "_before",
                                     "sampler.realised.0." + error}));
    EXPECT_EQ(names_with(other, state), std::set<std::string>());
    make_sampler(yaml, context)->load(state);

    Config unread = Config::parse("{type: " + GetParam() + ", target_" + other + ": 0.3}");
    Registry<Sampler>::instance().create(unread.root(), context);
    EXPECT_THROW(unread.root().expect_all_read(), ConfigError);
  }
}

TEST_P(EverySampler, AsksForAMeasurementOfAReplayDomainOfWhichNothingIsKnown) {
  Sampler::Context context = synthetic_context({40, 1000}, 3);
  auto sampler = make_sampler("{type: " + GetParam() + ", domains: {domain_1: {replay: true}}}", context);
  EXPECT_EQ(sampler->report().at("warnings").size(), 1u) << "drawn without a ceiling";
  const std::vector<uint32_t> wanted = sampler->unmeasured();
  ASSERT_GE(wanted.size(), 100u);
  EXPECT_LE(wanted.size(), 500u);
  EXPECT_TRUE(std::is_sorted(wanted.begin(), wanted.end()));
  std::vector<Sampler::Measured> measured;
  for (const uint32_t i : wanted) {
    EXPECT_GE(i, 40u);
    EXPECT_LT(i, 1040u);
    measured.push_back({i, i % 2 ? 0.05 : 0.25});
  }
  EXPECT_EQ(sampler->measure(measured).size(), 1u);
  EXPECT_TRUE(sampler->unmeasured().empty());
  sampler->begin_window(0);
  const nlohmann::json domain = sampler->report().at("domains").at(1);
  EXPECT_NEAR(domain.at("reference_error").get<double>(), 0.15, 0.02);
  EXPECT_NEAR(domain.at("table_error").get<double>(), 0.15, 0.02) << "the others are expected to be like these";
  const std::string warnings = sampler->report().at("warnings").dump();
  for (const char* part : {"without a ceiling", "forgotten"}) EXPECT_EQ(warnings.find(part), std::string::npos) << part;
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
