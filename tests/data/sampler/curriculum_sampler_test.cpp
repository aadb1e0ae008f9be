#include "data/sampler/curriculum_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "training_loop.h"

namespace rehearse {
namespace {

constexpr uint64_t kSeed = 41;

// A world that does not learn: every utterance has its CER, with noise; every tenth has a wrong text.
double static_cer(const Draw& draw, uint64_t step) {
  const RandomKey key = RandomKey(kSeed).with(draw.utterance);
  if (draw.utterance % 10 == 9) return 0.85 + 0.15 * key.uniform(1000 + step);
  return std::clamp(std::pow(key.uniform(0), 3.0) * 0.45 + 0.01 * key.normal(1000 + step), 0.0, 1.0);
}

// By utterance, as a checkpoint holds them.
std::map<uint32_t, Quarantine::Record> quarantined(const Sampler& sampler) {
  State state;
  sampler.save(state);
  Quarantine quarantine({}, {});
  quarantine.load(state, "sampler.quarantine");
  return quarantine.records();
}

std::string ids_of(const StepPlan& plan) {
  std::string ids;
  for (const Draw& draw : draws_of(plan)) ids += std::to_string(draw.utterance) + (draw.is_learned ? " " : "- ");
  return ids;
}

TEST(CurriculumSampler, RanksAndTheTimeOfObservingDoNotChangeTheDraws) {
  const Sampler::Context context = synthetic_context({300, 1000}, kSeed);
  TrainingLoop one({}, context, static_cer);
  for (const int ranks : {1, 2, 4}) {
    one.restart();
    TrainingLoop::Setup setup;
    setup.ranks = ranks;
    setup.is_late = true;
    TrainingLoop other(setup, context, static_cer);
    for (int step = 0; step < 60; ++step) ASSERT_EQ(ids_of(one.step()), ids_of(other.step())) << ranks << " " << step;
  }
}

TEST(CurriculumSampler, SavedAtEveryStepOfARunItContinuesIdentically) {
  const Sampler::Context context = synthetic_context({300, 1000}, kSeed);
  for (const bool is_late : {false, true}) {
    TrainingLoop::Setup setup;
    setup.is_late = is_late;
    TrainingLoop unbroken(setup, context, static_cer);
    TrainingLoop broken(setup, context, static_cer);
    for (int step = 0; step < 50; ++step) {
      State state;
      broken.save(state);
      state.values = nlohmann::json::parse(state.values.dump());  // as a file holds it
      auto waiting = broken.waiting();
      broken.restart();
      broken.load(state);
      broken.waiting() = waiting;
      ASSERT_EQ(ids_of(unbroken.step()), ids_of(broken.step())) << "step " << step;
    }
    EXPECT_EQ(unbroken.sampler().report(), broken.sampler().report());
  }
}

// Domain and bin of the draws of many windows without new observations, against the shares and the solved tilt.
TEST(CurriculumSampler, DrawsPassTheChiSquareTestForDomainsAndBins) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  const Sampler::Context context = synthetic_context({500, 3000}, kSeed);
  TrainingLoop::Setup setup;
  setup.yaml = "{type: curriculum, probe_share: 0, max_repeats: 0, domains: {domain_0: {share: 0.3}}}";
  TrainingLoop loop(setup, context, static_cer);
  for (int step = 0; step < 300; ++step) loop.step();
  auto& sampler = loop.sampler_as<CurriculumSampler>();
  sampler.begin_window(5000);
  std::vector<double> expected, found;
  std::map<std::pair<size_t, size_t>, size_t> cell;
  for (size_t d = 0; d < 2; ++d) {
    const DomainController& controller = sampler.controller(d);
    EXPECT_EQ(controller.state(), "on target");
    std::vector<TiltBin> bins(sampler.bins().drawable());
    for (size_t k = 0; k < bins.size(); ++k) {
      const double mean = sampler.realised_mean(d, k);
      const bool is_drawable = !controller.is_good() || mean <= controller.cut();
      bins[k] = {is_drawable ? static_cast<double>(sampler.table().count(d, k)) : 0.0, mean};
    }
    const std::vector<double> p = tilt_probabilities(bins, controller.tilt().lambda);
    for (size_t k = 0; k < bins.size(); ++k) {
      cell[{d, k}] = expected.size();
      expected.push_back((d == 0 ? 0.3 : 0.7) * p[k] * 60000);
    }
  }
  found.assign(expected.size(), 0);
  std::vector<double> domains(2, 0);
  for (uint64_t window = 0; window < 300; ++window) {
    sampler.begin_window(5000 + window);
    for (uint64_t i = 0; i < 200; ++i) {
      const Draw draw = sampler.draw(i);
      const size_t d = context.domain[draw.utterance];
      ++domains[d];
      ++found[cell.at({d, draw.bin})];
    }
  }
  EXPECT_LT(chi_square_score(domains, {18000, 42000}), 4.5);
  EXPECT_LT(chi_square_score(found, expected), 4.5);
}

TEST(CurriculumSampler, BatchingByLengthKeepsTheDomainShares) {
  Sampler::Context context = synthetic_context({500, 3000}, kSeed);
  for (size_t i = 0; i < 500; ++i) context.duration_s[i] *= 0.1f;  // a domain of very short ones
  TrainingLoop loop({}, context, static_cer);
  std::vector<double> found(2, 0);
  for (int step = 0; step < 400; ++step)
    for (const Draw& draw : draws_of(loop.step())) ++found[context.domain[draw.utterance]];
  const double half = 0.5 * (found[0] + found[1]);
  EXPECT_GT(half, 5000);
  EXPECT_LT(chi_square_score(found, {half, half}), 4.5) << found[0] << " " << found[1];
}

TEST(CurriculumSampler, EveryUtteranceIsObservedWithinItsTermAndTheTableStaysWhole) {
  const uint32_t n = 1000;
  const Sampler::Context context = synthetic_context({n}, kSeed);
  TrainingLoop::Setup setup;
  setup.yaml = "{type: curriculum, probe_share: 0.1, max_repeats: 0}";
  TrainingLoop loop(setup, context, static_cer);
  const double term = std::ceil(n / (0.1 / 2)) * 1.1;
  std::vector<uint64_t> last(n, 0);
  uint64_t draws = 0, longest = 0, unlearned = 0;
  while (draws < 60000) {
    for (const Draw& draw : draws_of(loop.step())) {
      longest = std::max(longest, draws - last[draw.utterance]);
      last[draw.utterance] = draws++;
      unlearned += !draw.is_learned;
      EXPECT_TRUE(draw.is_learned || draw.is_probe);
    }
  }
  for (uint64_t at : last) longest = std::max(longest, draws - at);
  std::printf("longest wait %llu draws, term %.0f\n", static_cast<unsigned long long>(longest), term);
  EXPECT_LE(static_cast<double>(longest), term);
  EXPECT_GT(static_cast<double>(longest), 0.4 * term) << "the bound is worth testing";
  EXPECT_GT(unlearned, 500u);

  const nlohmann::json domain = loop.sampler().report().at("domains").at(0);
  EXPECT_GT(domain.at("quarantined").get<int>(), 60);
  EXPECT_LE(domain.at("quarantined").get<int>(), 100) << "nothing but the planted wrong texts";
  auto& sampler = loop.sampler_as<CurriculumSampler>();
  uint32_t sum = 0;
  for (size_t k = 0; k < sampler.bins().total(); ++k) sum += sampler.table().count(0, k);
  EXPECT_EQ(sum, n) << "bins + quarantine";
  for (const auto& [utterance, record] : quarantined(sampler)) {
    EXPECT_EQ(utterance % 10, 9u);
    EXPECT_GT(record.cer / 65535.0, record.cut);
  }
}

TEST(CurriculumSampler, ACuredUtteranceLeavesTheQuarantine) {
  const Sampler::Context context = synthetic_context({200}, kSeed);
  bool is_cured = false;
  TrainingLoop::Setup setup;
  setup.yaml = "{type: curriculum, probe_share: 0.3, max_repeats: 0}";
  TrainingLoop loop(setup, context, [&](const Draw& draw, uint64_t) {
    return draw.utterance % 20 == 3 && !is_cured ? 0.95 : 0.05 + 0.1 * (draw.utterance % 2);
  });
  for (int step = 0; step < 200; ++step) loop.step();
  EXPECT_EQ(quarantined(loop.sampler()).size(), 10u);
  is_cured = true;
  for (int step = 0; step < 200; ++step) loop.step();
  EXPECT_EQ(quarantined(loop.sampler()).size(), 0u);
}

TEST(CurriculumSampler, HoldsNoisyObservationsInTheBandWithinThreeTimesTheIntegral) {
  const Sampler::Context context = synthetic_context({3000}, kSeed);
  TrainingLoop::Setup setup;
  setup.yaml = "{type: curriculum, max_repeats: 0}";
  // Noise of 12 points: low table values are low partly by luck.
  TrainingLoop loop(setup, context, [](const Draw& draw, uint64_t step) {
    const RandomKey key = RandomKey(kSeed).with(draw.utterance);
    return std::clamp(0.02 + 0.5 * key.uniform(0) * key.uniform(0) + 0.12 * key.normal(1000 + step), 0.0, 1.0);
  });
  uint64_t draws = 0;
  while (draws < 3000 + 9000) draws += loop.step().num_draws;  // every utterance about once, then 3·T_i
  for (int block = 0; block < 5; ++block) {
    for (int step = 0; step < 60; ++step) loop.step();
    const nlohmann::json domain = loop.sampler().report().at("domains").at(0);
    EXPECT_EQ(domain.at("state"), "on target");
    EXPECT_GE(domain.at("drawn_window").get<int>(), 1500);
    EXPECT_NEAR(domain.at("drawn_cer").get<double>(), 0.10, 0.01);
    EXPECT_LE(std::abs(domain.at("trim").get<double>()), 0.08);
  }
}

TEST(CurriculumSampler, ConstantObservationsAtTheTargetLeaveTheTrimAlone) {
  const Sampler::Context context = synthetic_context({1000}, kSeed);
  TrainingLoop loop({}, context, [](const Draw&, uint64_t) { return 0.10; });
  for (int step = 0; step < 1000; ++step) loop.step();
  EXPECT_NEAR(loop.sampler().report().at("domains").at(0).at("trim").get<double>(), 0, 1e-3);
}

TEST(CurriculumSampler, EasyUtterancesAreDrawnMoreOftenThanHardOnes) {
  const Sampler::Context context = synthetic_context({1000}, kSeed);
  TrainingLoop::Setup setup;
  setup.yaml = "{type: curriculum, max_repeats: 0}";
  TrainingLoop loop(setup, context, [](const Draw& d, uint64_t) { return d.utterance % 2 == 0 ? 0.03 : 0.4; });
  for (int step = 0; step < 200; ++step) loop.step();
  int easy = 0, hard = 0;
  for (int step = 0; step < 100; ++step)
    for (const Draw& draw : draws_of(loop.step())) ++(draw.utterance % 2 == 0 ? easy : hard);
  // The share of hard ones that makes 10 % of 3 % and 40 %.
  EXPECT_NEAR(hard / static_cast<double>(easy + hard), 0.07 / 0.37, 0.02);
}

TEST(CurriculumSampler, ImportsWhatTwoCorporaShareAndHoldsTheTilt) {
  Sampler::Context old_context = synthetic_context({400, 600}, kSeed);
  for (uint64_t i = 0; i < 1000; ++i) old_context.ids.push_back(mix64(i));
  TrainingLoop old_loop({}, old_context, static_cer);
  for (int step = 0; step < 300; ++step) old_loop.step();
  State state;
  old_loop.save(state);
  const auto& old_sampler = old_loop.sampler_as<CurriculumSampler>();

  Sampler::Context context;  // a new domain first, then 500 of domain_1 in another order
  context.seed = kSeed;
  context.domains = {"added", "domain_1"};
  for (uint32_t i = 0; i < 300; ++i) context.ids.push_back(mix64(100000 + i));
  for (uint32_t i = 0; i < 500; ++i) context.ids.push_back(old_context.ids[400 + (i * 7) % 600]);
  for (uint32_t i = 0; i < 800; ++i) {
    context.domain.push_back(i < 300 ? 0 : 1);
    context.duration_s.push_back(i < 300 ? 2.0f : old_context.duration_s[400 + ((i - 300) * 7) % 600]);
  }
  TrainingLoop::Setup setup;
  setup.yaml = "{type: curriculum, domains: {domain_1: {replay: true}}, replay_share: 0.4}";
  TrainingLoop loop(setup, context, [](const Draw&, uint64_t) { return 0.9; });
  EXPECT_THROW(loop.sampler().load(state), DataError) << "a resume needs the same corpus";
  loop.sampler().import_table(state, state.array<uint64_t>("sampler.ids"), context.ids);

  const CerTable& table = loop.sampler_as<CurriculumSampler>().table();
  for (uint32_t i = 0; i < 500; ++i) {
    const uint32_t old_i = 400 + (i * 7) % 600;
    ASSERT_EQ(table.visits(300 + i), old_sampler.table().visits(old_i));
    ASSERT_EQ(table.is_seen(300 + i), old_sampler.table().is_seen(old_i));
    if (!table.is_seen(300 + i)) continue;
    ASSERT_EQ(table.cer(300 + i), old_sampler.table().cer(old_i));
    ASSERT_EQ(table.is_quarantined(300 + i), old_sampler.table().is_quarantined(old_i));
  }
  for (uint32_t i = 0; i < 300; ++i) ASSERT_FALSE(table.is_seen(i));

  const double ceiling = old_sampler.controller(1).tilt().lambda;
  EXPECT_GT(ceiling, 0);
  for (int step = 0; step < 300; ++step) {
    loop.step();
    ASSERT_LE(loop.sampler_as<CurriculumSampler>().controller(1).tilt().lambda, ceiling);
  }
  EXPECT_NE(loop.sampler().report().at("warnings").dump().find("domain_1: expected about its CER before the switch"),
            std::string::npos);
}

}  // namespace
}  // namespace rehearse
