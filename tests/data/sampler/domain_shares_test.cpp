#include "data/sampler/shares/domain_shares.h"

#include <cmath>
#include <cstdio>
#include <numeric>

#include "sampler_fixture.h"

namespace rehearse {
namespace {

std::vector<double> wished(const std::string& yaml, const Sampler::Context& context) {
  Config config = Config::parse(yaml);
  ConfigNode root = config.root();
  return wished_shares(SamplerOptions::from(root), DomainLayout(context));
}

TEST(WishedShares, AreEqualOrByHours) {
  Sampler::Context context = synthetic_context({10, 30});
  context.cost.assign(40, 2);
  EXPECT_EQ(wished("{}", context), (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(wished("shares: by_hours", context), (std::vector<double>{0.25, 0.75}));
}

TEST(WishedShares, NumbersArePartsOfAllDrawsAndTheRestIsDivided) {
  const Sampler::Context context = synthetic_context({10, 30, 20});
  const auto some = wished("{domains: {domain_1: {share: 0.6}}}", context);
  EXPECT_NEAR(some[0], 0.2, 1e-12);
  EXPECT_NEAR(some[1], 0.6, 1e-12);
  const auto all =
      wished("{domains: {domain_0: {share: 0.1}, domain_1: {share: 0.1}, domain_2: {share: 0.2}}}", context);
  EXPECT_NEAR(all[2], 0.5, 1e-12) << "numbers for all of them are proportions";
  EXPECT_THROW(wished("{domains: {domain_0: {share: 0.7}, domain_1: {share: 0.6}}}", context), ConfigError);
  const std::string none = "{domains: {domain_0: {share: 0}, domain_1: {share: 0}, domain_2: {share: 0}}}";
  EXPECT_THROW(wished(none, context), ConfigError);
}

TEST(WishedShares, ReplayDomainsHaveReplayShareTogether) {
  const Sampler::Context context = synthetic_context({10, 30, 20});
  const auto shares =
      wished("{replay_share: 0.3, domains: {domain_0: {replay: true}, domain_2: {replay: true}}}", context);
  EXPECT_NEAR(shares[0], 0.15, 1e-12);
  EXPECT_NEAR(shares[1], 0.7, 1e-12);
  EXPECT_NEAR(shares[2], 0.15, 1e-12);
  const auto none = wished("{replay_share: 0, domains: {domain_0: {replay: true}}}", context);
  EXPECT_EQ(none[0], 0);
}

TEST(FillShares, GivesWhatACapLeavesToTheOthers) {
  const FilledShares filled = fill_shares({0.25, 0.25, 0.25, 0.25}, {0.1, 1, 0.28, 1});
  EXPECT_DOUBLE_EQ(filled.share[0], 0.1);
  EXPECT_DOUBLE_EQ(filled.share[2], 0.28) << "capped only after the first cap's rest was given away";
  EXPECT_NEAR(filled.share[1], 0.31, 1e-12);
  EXPECT_TRUE(filled.is_capped[0] && filled.is_capped[2] && !filled.is_capped[1]);
  EXPECT_FALSE(filled.is_overfull);
}

TEST(FillShares, HoldsForRandomWeightsAndCaps) {
  const uint64_t seed = 5;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  int overfull = 0;
  for (uint64_t round = 0; round < 2000; ++round) {
    const RandomKey key = RandomKey(seed).with(round);
    std::vector<double> weights(1 + key.below(12, 0)), caps(weights.size());
    for (size_t d = 0; d < weights.size(); ++d) {
      weights[d] = key.uniform(10 + d);
      caps[d] = key.uniform(50 + d) * key.uniform(1);
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (double& w : weights) w /= sum;
    const FilledShares filled = fill_shares(weights, caps);
    EXPECT_NEAR(std::accumulate(filled.share.begin(), filled.share.end(), 0.0), 1, 1e-9);
    const double cap_sum = std::accumulate(caps.begin(), caps.end(), 0.0);
    EXPECT_EQ(filled.is_overfull, cap_sum < 1 - 1e-9) << "round " << round;
    overfull += filled.is_overfull;
    double ratio = -1;  // of all uncapped domains
    for (size_t d = 0; d < weights.size() && !filled.is_overfull; ++d) {
      EXPECT_LE(filled.share[d], caps[d] + 1e-12);
      if (filled.is_capped[d]) continue;
      const double last = ratio;
      ratio = filled.share[d] / weights[d];
      EXPECT_TRUE(last < 0 || std::abs(ratio - last) < 1e-9 * ratio) << "round " << round;
    }
  }
  EXPECT_GT(overfull, 100);
  EXPECT_LT(overfull, 1900);
}

TEST(DomainShares, ATinyDomainIsExpectedAtMostMaxRepeatsTimesAndTheLogSaysSo) {
  const Sampler::Context context = synthetic_context({42, 5000});
  Config config = Config::parse("max_repeats: 10");
  ConfigNode root = config.root();
  DomainShares shares(SamplerOptions::from(root), DomainLayout(context), 0);
  EXPECT_EQ(shares.share(0), 0.5) << "no cap before the length of the run is known";
  shares.set_planned_draws(20000);
  EXPECT_NEAR(shares.expected_visits(0), 10, 1e-9);
  EXPECT_NEAR(shares.share(1), 1 - 420.0 / 20000, 1e-12);
  EXPECT_NE(shares.notes()[0].find("max_repeats 10 limits it"), std::string::npos) << shares.notes()[0];
  EXPECT_EQ(shares.notes().size(), 2u);
  shares.set_planned_draws(200000);
  EXPECT_NE(shares.notes().back().find("cannot hold"), std::string::npos);
  EXPECT_NEAR(shares.share(0), 42.0 / 5042, 1e-12);
}

}  // namespace
}  // namespace rehearse
