#include <algorithm>
#include <set>

#include "data/sampler/keyed_permutation.h"
#include "sampler_fixture.h"

namespace rehearse {
namespace {

TEST(KeyedPermutation, VisitsEveryValueOnceAndDependsOnTheKey) {
  for (uint64_t n : {1u, 2u, 3u, 4u, 5u, 16u, 17u, 1000u, 4097u}) {
    const KeyedPermutation order(n, RandomKey(n));
    std::vector<uint64_t> values;
    for (uint64_t i = 0; i < n; ++i) values.push_back(order.at(i));
    std::vector<uint64_t> other;
    const KeyedPermutation rekeyed(n, RandomKey(n + 1));
    for (uint64_t i = 0; i < n; ++i) other.push_back(rekeyed.at(i));
    if (n >= 16) {
      EXPECT_NE(values, other);
      EXPECT_FALSE(std::is_sorted(values.begin(), values.end()));
    }
    std::sort(values.begin(), values.end());
    for (uint64_t i = 0; i < n; ++i) ASSERT_EQ(values[i], i) << "n = " << n;
  }
}

TEST(UniformSampler, DrawsEveryUtteranceOncePerPass) {
  const Sampler::Context context = synthetic_context({50, 200});
  auto sampler = make_sampler("type: uniform", context);
  sampler->begin_window(0);
  std::vector<uint32_t> visits(250, 0);
  for (uint64_t i = 0; i < 1000; ++i) {
    const Draw draw = sampler->draw(i);
    EXPECT_EQ(draw.visit, visits[draw.utterance]) << "the visit counts earlier draws";
    ++visits[draw.utterance];
    EXPECT_TRUE(draw.is_learned);
  }
  for (uint32_t d : {0u, 1u}) {
    const auto first = visits.begin() + (d == 0 ? 0 : 50);
    const auto [low, high] = std::minmax_element(first, first + (d == 0 ? 50 : 200));
    EXPECT_LE(*high - *low, 1u);
  }
}

TEST(UniformSampler, DomainSharesPassTheChiSquareTest) {
  const uint64_t seed = 11;
  RecordProperty("seed", static_cast<int>(seed));
  const Sampler::Context context = synthetic_context({50, 200, 10}, seed);
  auto sampler = make_sampler("{type: uniform, domains: {domain_2: {share: 0.5}}}", context);
  std::vector<double> found(3, 0);
  for (uint64_t window = 0; window < 100; ++window) {
    sampler->begin_window(window);
    for (uint64_t i = 0; i < 200; ++i) ++found[context.domain[sampler->draw(i).utterance]];
  }
  EXPECT_LT(chi_square_score(found, {5000, 5000, 10000}), 4.5) << "seed " << seed;
}

// Checkpoints from before observations were kept hold neither ids nor a table.
TEST(UniformSampler, LoadsACheckpointWithoutAMemoryAndDrawsOnTheSame) {
  const Sampler::Context context = synthetic_context({50, 200});
  auto unbroken = make_sampler("type: uniform", context), resumed = make_sampler("type: uniform", context);
  unbroken->begin_window(0);
  std::vector<Observation> observations;
  for (uint32_t i = 0; i < 70; ++i) observations.push_back({i, unbroken->draw(i), 0.25, i == 3});
  unbroken->observe(0, observations, false);
  State state;
  unbroken->save(state);
  state.values["sampler"].erase("memory");
  std::erase_if(state.arrays, [](const auto& array) {
    return array.first != "sampler.cursor" && array.first != "sampler.bad_files";
  });
  resumed->load(state);
  for (uint64_t window = 1; window < 20; ++window) {
    unbroken->begin_window(window);
    resumed->begin_window(window);
    for (uint64_t i = 0; i < 70; ++i) ASSERT_TRUE(unbroken->draw(i) == resumed->draw(i));
  }
}

// The bits of a run from before observations were kept: what is remembered decides no draw.
TEST(UniformSampler, WhatIsObservedChangesNoDraw) {
  const Sampler::Context context = synthetic_context({50, 200});
  auto good = make_sampler("type: uniform", context), bad = make_sampler("type: uniform", context);
  for (uint64_t window = 0; window < 30; ++window) {
    good->begin_window(window);
    bad->begin_window(window);
    std::vector<Observation> observations;
    for (uint32_t i = 0; i < 40; ++i) {
      const Draw draw = good->draw(i);
      ASSERT_TRUE(draw == bad->draw(i));
      EXPECT_EQ(draw.bin, 0);
      EXPECT_TRUE(draw.is_learned);
      observations.push_back({i, draw, draw.utterance % 3 == 0 ? 1.0 : 0.05, false});
    }
    bad->observe(window, observations, false);
  }
  EXPECT_GT(bad->report().at("domains").at(1).at("quarantined"), 0) << "doubtful texts are listed, and learned";
}

TEST(UniformSampler, ReportsWhatWasDrawn) {
  const Sampler::Context context = synthetic_context({5, 5});
  auto sampler = make_sampler("type: uniform", context);
  sampler->begin_window(0);
  std::vector<Observation> observations;
  for (uint32_t i = 0; i < 40; ++i) observations.push_back({i, sampler->draw(i), 0.25, false});
  sampler->observe(0, observations, false);
  const nlohmann::json report = sampler->report();
  uint64_t draws = 0;
  for (const auto& domain : report.at("domains")) {
    draws += domain.at("draws").get<uint64_t>();
    EXPECT_NEAR(domain.at("drawn_error").get<double>(), 0.25, 1e-4);
    EXPECT_EQ(domain.at("unseen"), 0);
  }
  EXPECT_EQ(draws, 40u);
}

}  // namespace
}  // namespace rehearse
