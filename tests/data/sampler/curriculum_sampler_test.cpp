#include "data/sampler/curriculum_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "training_loop.h"

namespace rehearse {
namespace {

constexpr uint64_t kSeed = 41;

// A world that does not learn: every utterance has its error, with noise; every tenth has a wrong text.
double static_error(const Draw& draw, uint64_t step) {
  const RandomKey key = RandomKey(kSeed).with(draw.utterance);
  if (draw.utterance % 10 == 9) return 0.85 + 0.15 * key.uniform(1000 + step);
  return std::clamp(std::pow(key.uniform(0), 3.0) * 0.45 + 0.01 * key.normal(1000 + step), 0.0, 1.0);
}

// By utterance, as a checkpoint holds them.
std::map<uint32_t, Quarantine::Record> quarantined(const Sampler& sampler) {
  State state;
  sampler.save(state);
  Quarantine quarantine({}, {}, {});
  quarantine.load(state, "sampler.quarantine", "error");
  return quarantine.records();
}

std::string ids_of(const StepPlan& plan) {
  std::string ids;
  for (const Draw& draw : draws_of(plan)) ids += std::to_string(draw.utterance) + (draw.is_learned ? " " : "- ");
  return ids;
}

TEST(CurriculumSampler, TheTimeOfObservingDoesNotChangeTheDraws) {
  const Sampler::Context context = synthetic_context({300, 1000}, kSeed);
  TrainingLoop::Setup setup;
  setup.is_late = true;
  TrainingLoop at_once({}, context, static_error), late(setup, context, static_error);
  for (int step = 0; step < 60; ++step) ASSERT_EQ(ids_of(at_once.step()), ids_of(late.step())) << step;
}

TEST(CurriculumSampler, SavedAtEveryStepOfARunItContinuesIdentically) {
  const Sampler::Context context = synthetic_context({300, 1000}, kSeed);
  for (const bool is_late : {false, true}) {
    TrainingLoop::Setup setup;
    setup.is_late = is_late;
    TrainingLoop unbroken(setup, context, static_error);
    TrainingLoop broken(setup, context, static_error);
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

// What the specification says of one domain, from its saved table, realised means and trim alone: the probability of a
// tilt draw by bin.
std::vector<double> specified_probabilities(const State& state, size_t domain, uint32_t first, uint32_t size) {
  constexpr size_t kBins = 72;  // 64 seen and 8 unseen
  const auto error = state.array<uint16_t>("sampler.table.error");
  const auto bin = state.array<uint8_t>("sampler.table.bin");
  const std::string realised = "sampler.realised." + std::to_string(domain);
  const auto weight = state.array<double>(realised + ".count"), sum = state.array<double>(realised + ".error");
  const auto clock = state.array<uint64_t>(realised + ".clock");
  std::vector<double> n(kBins, 0), t(kBins, 0), r(kBins, 0);
  for (uint32_t i = first; i < first + size; ++i)
    if (bin[i] < kBins) ++n[bin[i]], t[bin[i]] += error[i] / 65535.0;
  std::vector<std::pair<double, double>> means;
  for (size_t k = 0; k < kBins; ++k) {
    const double aged = std::exp(-static_cast<double>(clock[0] - clock[k + 1]) / 2000);
    r[k] = (n[k] > 0 ? 8 * t[k] / n[k] : 0) + sum[k] * aged;
    r[k] /= 8 + weight[k] * aged;
    if (n[k] > 0) means.emplace_back(r[k], n[k]);
  }
  const auto median = [](std::vector<std::pair<double, double>> values) {
    std::sort(values.begin(), values.end());
    double all = 0, below = 0;
    for (const auto& [value, count] : values) all += count;
    for (const auto& [value, count] : values)
      if (below += count; below >= all / 2) return value;
    return 1.0;
  };
  const double middle = median(means);
  for (auto& [value, count] : means) value = std::abs(value - middle);
  if (middle <= 0.20) {
    const double cut = std::min(std::max(0.5, middle + 6 * median(means)), 0.9);
    for (size_t k = 0; k < kBins; ++k) n[k] = r[k] > cut ? 0 : n[k];
  }
  const double trim = state.values.at("sampler").at("domains").at(domain).at("controller").at("trim");
  std::vector<double> p(kBins);
  double low = 0, high = 60;
  for (int round = 0; round < 200; ++round) {
    const double lambda = 0.5 * (low + high);
    double total = 0, mean = 0;
    for (size_t k = 0; k < kBins; ++k) total += p[k] = n[k] * std::exp(-lambda * r[k]);
    for (size_t k = 0; k < kBins; ++k) mean += (p[k] /= total) * r[k];
    (mean > 0.10 + trim ? low : high) = lambda;
  }
  return p;
}

// 500 and 3,000 utterances after 300 steps, with shares 0.3 and 0.7; hard ones are long.
class DrawnShares : public testing::Test {
 protected:
  DrawnShares() {
    for (size_t i = 0; i < context_.cost.size(); ++i)
      context_.cost[i] = static_cast<float>(0.5 + 8 * RandomKey(kSeed).with(i).uniform(0));
    TrainingLoop::Setup setup;
    setup.yaml = "{type: curriculum, probe_share: 0, max_repeats: 0, domains: {domain_0: {share: 0.3}}}";
    loop_.emplace(setup, context_, static_error);
    for (int step = 0; step < 300; ++step) loop_->step();
    sampler().begin_window(5000);
    for (size_t d = 0; d < 2; ++d) EXPECT_EQ(sampler().controller(d).state(), "on target");
    State state;
    sampler().save(state);
    for (size_t d = 0; d < 2; ++d)
      for (const double p : specified_probabilities(state, d, d == 0 ? 0 : 500, d == 0 ? 500 : 3000))
        shares_.push_back((d == 0 ? 0.3 : 0.7) * p);
  }
  CurriculumSampler& sampler() { return loop_->sampler_as<CurriculumSampler>(); }
  void count(const Draw& draw) { found_.at(context_.domain[draw.utterance] * 72 + draw.bin) += 1; }
  void expect_shares() const {
    double draws = 0;
    for (const double one : found_) draws += one;
    EXPECT_GT(draws, 15000);
    std::vector<double> expected, domains(2, 0);
    for (const double share : shares_) expected.push_back(share * draws);
    for (size_t k = 0; k < found_.size(); ++k) domains[k / 72] += found_[k];
    EXPECT_LT(chi_square_score(domains, {0.3 * draws, 0.7 * draws}), 4.5) << "seed " << kSeed;
    EXPECT_LT(chi_square_score(found_, expected), 4.5) << "seed " << kSeed;
  }

  Sampler::Context context_ = synthetic_context({500, 3000}, kSeed);
  std::optional<TrainingLoop> loop_;
  std::vector<double> shares_, found_ = std::vector<double>(144, 0);
};

// Also: the choice of the less visited of two members does not change the share of a bin.
TEST_F(DrawnShares, OfDomainsAndBinsAreThoseOfTheSpecification) {
  for (uint64_t window = 0; window < 300; ++window) {
    sampler().begin_window(5000 + window);
    for (uint64_t i = 0; i < 200; ++i) count(sampler().draw(i));
  }
  expect_shares();
}

TEST_F(DrawnShares, AreTheSameBehindBatchingByLength) {
  BatchPlanner planner({120, 8, 4, 8}, context_.cost, kSeed, sampler());
  for (int step = 0; step < 700; ++step)
    for (const Draw& draw : draws_of(planner.next())) count(draw);
  expect_shares();
}

TEST(CurriculumSampler, BatchingByLengthKeepsTheDomainShares) {
  Sampler::Context context = synthetic_context({500, 3000}, kSeed);
  for (size_t i = 0; i < 500; ++i) context.cost[i] *= 0.1f;  // a domain of very short ones
  TrainingLoop loop({}, context, static_error);
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
  TrainingLoop loop(setup, context, static_error);
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
    EXPECT_GT(record.error / 65535.0, record.cut);
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
    EXPECT_NEAR(domain.at("drawn_error").get<double>(), 0.10, 0.01);
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
  TrainingLoop old_loop({}, old_context, static_error);
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
    context.cost.push_back(i < 300 ? 2.0f : old_context.cost[400 + ((i - 300) * 7) % 600]);
  }
  TrainingLoop::Setup setup;
  setup.yaml = "{type: curriculum, domains: {domain_1: {replay: true}}, replay_share: 0.4}";
  TrainingLoop loop(setup, context, [](const Draw&, uint64_t) { return 0.9; });
  EXPECT_THROW(loop.sampler().load(state), DataError) << "a resume needs the same corpus";
  loop.sampler().import_table(state, state.array<uint64_t>("sampler.ids"), context.ids);

  const ErrorTable& table = loop.sampler_as<CurriculumSampler>().table();
  for (uint32_t i = 0; i < 500; ++i) {
    const uint32_t old_i = 400 + (i * 7) % 600;
    ASSERT_EQ(table.visits(300 + i), old_sampler.table().visits(old_i));
    ASSERT_EQ(table.is_seen(300 + i), old_sampler.table().is_seen(old_i));
    if (!table.is_seen(300 + i)) continue;
    ASSERT_EQ(table.error(300 + i), old_sampler.table().error(old_i));
    ASSERT_EQ(table.is_quarantined(300 + i), old_sampler.table().is_quarantined(old_i));
  }
  for (uint32_t i = 0; i < 300; ++i) ASSERT_FALSE(table.is_seen(i));

  const double ceiling = old_sampler.controller(1).tilt().lambda;
  EXPECT_GT(ceiling, 0);
  for (int step = 0; step < 300; ++step) {
    loop.step();
    ASSERT_LE(loop.sampler_as<CurriculumSampler>().controller(1).tilt().lambda, ceiling);
  }
  EXPECT_NE(loop.sampler().report().at("warnings").dump().find("domain_1: expected about its error before the switch"),
            std::string::npos);
}

}  // namespace
}  // namespace rehearse
