#include "data/sampler/error_table.h"

#include <cmath>
#include <cstdio>

#include "data/sampler/quarantine.h"
#include "data/sampler/shares/realised_means.h"
#include "sampler_fixture.h"

namespace rehearse {
namespace {

ErrorTable make_table(const std::vector<uint32_t>& sizes, size_t bins) {
  uint32_t n = 0;
  for (uint32_t size : sizes) n += size;
  return ErrorTable(sizes, bins, std::vector<uint8_t>(n, 0), std::vector<uint16_t>(n, 100));
}

// Counts and sums of every bin equal a recount, and every member knows its slot.
void expect_consistent(const ErrorTable& table, const std::vector<uint32_t>& sizes) {
  uint32_t first = 0;
  for (size_t d = 0; d < sizes.size(); ++d) {
    std::vector<uint32_t> count(table.bins_per_domain(), 0);
    std::vector<uint64_t> sum(table.bins_per_domain(), 0);
    for (uint32_t i = first; i < first + sizes[d]; ++i) {
      ++count[table.bin(i)];
      sum[table.bin(i)] += table.error(i);
      ASSERT_LT(table.slot(i), table.count(d, table.bin(i)));
      ASSERT_EQ(table.member(d, table.bin(i), table.slot(i)), i);
    }
    for (size_t k = 0; k < count.size(); ++k) {
      ASSERT_EQ(table.count(d, k), count[k]);
      ASSERT_EQ(table.error_sum(d, k), sum[k]);
    }
    first += sizes[d];
  }
}

TEST(ErrorTable, IsConsistentAfterAMillionRandomUpdates) {
  const uint64_t seed = 77;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  const std::vector<uint32_t> sizes = {5000, 1, 3000};
  ErrorTable table = make_table(sizes, 20);
  const RandomKey key(seed);
  for (uint64_t k = 0; k < 1000000; ++k) {
    const auto i = static_cast<uint32_t>(key.below(8001, 3 * k));
    // A few bins get most: lists grow over pages and empty again.
    const uint64_t bin = key.below(100, 3 * k + 1) < 90 ? k / 100000 : key.below(20, 3 * k + 2);
    table.update(i < 5000 ? 0 : i == 5000 ? 1 : 2, i, static_cast<uint16_t>(key.bits(k) & 0xFFFF), bin);
    if (k % 250000 == 0) expect_consistent(table, sizes);
  }
  expect_consistent(table, sizes);
}

TEST(ErrorTable, RestoresMemberOrderAndRefusesDamage) {
  const std::vector<uint32_t> sizes = {2000, 500};
  ErrorTable table = make_table(sizes, 8);
  const RandomKey key(3);
  for (uint64_t k = 0; k < 20000; ++k) {
    const auto i = static_cast<uint32_t>(key.below(2500, k));
    table.update(i < 2000 ? 0 : 1, i, static_cast<uint16_t>(key.bits(k) & 0xFFFF), key.bits(k) >> 20 & 7);
    table.plan(i, static_cast<uint32_t>(k));
  }
  State state;
  table.save(state, "t", "error");
  ErrorTable other = make_table(sizes, 8);
  other.load(state, "t", "error");
  expect_consistent(other, sizes);
  for (uint32_t i = 0; i < 2500; ++i) {
    ASSERT_EQ(other.slot(i), table.slot(i));
    ASSERT_EQ(other.visits(i), table.visits(i));
    ASSERT_EQ(other.last_step(i), table.last_step(i));
  }
  auto order = state.array<uint32_t>("t.order");
  order[7] = order[8];
  state.arrays["t.order"] = StateArray::of(order);
  EXPECT_THROW(other.load(state, "t", "error"), DataError);
  expect_consistent(other, sizes);
}

TEST(ErrorTable, VisitsSaturate) {
  ErrorTable table = make_table({1}, 1);
  for (int k = 0; k < 70000; ++k) table.plan(0, 1);
  EXPECT_EQ(table.visits(0), 65535);
}

TEST(RealisedMeans, StartsAtThePriorAndForgetsOverItsWindow) {
  RealisedMeans means(2, 100);
  EXPECT_DOUBLE_EQ(means.mean(0, 0.8), 0.8);
  for (int k = 0; k < 2000; ++k) means.observe(0, 0.3);
  EXPECT_NEAR(means.mean(0, 0.8), (8 * 0.8 + 100.5 * 0.3) / 108.5, 1e-3) << "about 100 draws are remembered";
  EXPECT_DOUBLE_EQ(means.mean(1, 0.8), 0.8);
  for (int k = 0; k < 5000; ++k) means.observe(1, 0.9);
  EXPECT_NEAR(means.mean(0, 0.8), 0.8, 1e-12) << "draws of other bins age it";
}

class QuarantineTest : public testing::Test {
 protected:
  void strike(uint32_t i, double error, double cut = 0.5) {
    const auto value = static_cast<uint16_t>(std::lround(error * ErrorTable::kMaxError));
    quarantine_.apply(table_, {0, i, value, value, cut, true, 9});
  }
  BinLayout bins_{64, 8};
  ErrorTable table_ = make_table({40}, BinLayout{64, 8}.total());
  Quarantine quarantine_{BinLayout{64, 8}, {40}, {}};
};

TEST_F(QuarantineTest, TwoStrikesQuarantineAndOneGoodProbeReleases) {
  strike(3, 0.9);
  EXPECT_FALSE(table_.is_quarantined(3));
  strike(3, 0.2);
  strike(3, 0.9);
  EXPECT_FALSE(table_.is_quarantined(3)) << "a good error between them clears the first strike";
  strike(3, 0.8);
  EXPECT_TRUE(table_.is_quarantined(3));
  EXPECT_EQ(quarantine_.count(table_, 0), 1u);
  EXPECT_EQ(table_.bin(3), bins_.quarantine_of(table_.error(3)));
  EXPECT_EQ(quarantine_.records().at(3).step, 9u);
  strike(3, 0.95);
  EXPECT_TRUE(table_.is_quarantined(3));
  strike(3, 0.4);
  EXPECT_FALSE(table_.is_quarantined(3));
  EXPECT_TRUE(quarantine_.records().empty());
  EXPECT_EQ(quarantine_.count(table_, 0), 0u);
}

TEST_F(QuarantineTest, AnErrorAtTheCutIsNotAboveIt) {
  for (const double cut : {0.5, 0.1, 0.9})
    for (int time = 0; time < 3; ++time) strike(7, cut, cut);
  EXPECT_FALSE(table_.is_quarantined(7));
  for (int time = 0; time < 2; ++time) strike(7, 0.501);
  EXPECT_TRUE(table_.is_quarantined(7));
}

TEST_F(QuarantineTest, HoldsAQuarterOfTheDomainAndKeepsTheWorst) {
  for (uint32_t i = 0; i < 10; ++i)
    for (int k = 0; k < 2; ++k) strike(i, i < 5 ? 0.6 : 0.95);
  EXPECT_EQ(quarantine_.count(table_, 0), 10u);
  EXPECT_TRUE(quarantine_.is_full(table_, 0));
  for (int k = 0; k < 2; ++k) strike(20, 0.55);
  EXPECT_FALSE(table_.is_quarantined(20)) << "no worse than the least bad one";
  for (int k = 0; k < 2; ++k) strike(21, 0.99);
  EXPECT_TRUE(table_.is_quarantined(21));
  EXPECT_EQ(quarantine_.count(table_, 0), 10u);
  int released = 0;
  for (uint32_t i = 0; i < 5; ++i) released += !table_.is_quarantined(i);
  EXPECT_EQ(released, 1);
  EXPECT_EQ(quarantine_.records().size(), 10u);
}

TEST_F(QuarantineTest, BadFilesAreBesideTheQuarterAndOneThatCanBeReadComesBack) {
  for (uint32_t i = 0; i < 30; ++i) quarantine_.add_bad_file(table_, 0, i, 4);
  EXPECT_EQ(quarantine_.count(table_, 0), 0u);
  EXPECT_EQ(quarantine_.bad_files(table_, 0), 30u);
  strike(5, 0.125);
  strike(6, 0.9);
  EXPECT_EQ(quarantine_.bad_files(table_, 0), 28u);
  for (const uint32_t i : {5u, 6u}) {
    EXPECT_FALSE(table_.is_quarantined(i)) << "one error above the cut is one strike, whatever it was before";
    EXPECT_TRUE(table_.is_seen(i));
    EXPECT_EQ(table_.bin(i), bins_.of(table_.error(i)));
    EXPECT_FALSE(quarantine_.records().contains(i));
  }
  strike(6, 0.9);
  EXPECT_TRUE(table_.is_quarantined(6));
  EXPECT_FALSE(quarantine_.records().at(6).is_bad_file);
}

TEST(QuarantineOptions, StrikesAndShareAreChosen) {
  const BinLayout bins{64, 8};
  for (int strikes : {1, 2, 3}) {
    ErrorTable table = make_table({40}, bins.total());
    Quarantine quarantine(bins, {40}, {strikes, 0.1});
    for (int time = 1; time <= 3; ++time) {
      quarantine.apply(table, {0, 1, 60000, 60000, 0.5, true, 9});
      EXPECT_EQ(table.is_quarantined(1), time >= strikes) << strikes;
    }
    for (uint32_t i = 0; i < 20; ++i)
      for (int time = 0; time < 3; ++time) quarantine.apply(table, {0, i, 60000, 60000, 0.5, true, 9});
    EXPECT_EQ(quarantine.count(table, 0), 4u) << "a tenth of forty";
  }
}

}  // namespace
}  // namespace rehearse
