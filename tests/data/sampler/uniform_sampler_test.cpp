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
    EXPECT_NEAR(domain.at("drawn_cer").get<double>(), 0.25, 1e-4);
    EXPECT_EQ(domain.at("unseen"), 0);
  }
  EXPECT_EQ(draws, 40u);
}

}  // namespace
}  // namespace rehearse
