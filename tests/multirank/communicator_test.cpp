#include "trainer/comm/communicator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>

#include "tests/multirank/world_fixture.h"
#include "trainer/comm/mpi_exchange.h"

namespace rehearse {
namespace {

int size() {
  return communicator().size();
}
int rank() {
  return communicator().rank();
}
// Σ over ranks of (rank + 1).
int rank_sum() {
  return size() * (size() + 1) / 2;
}

TEST(Communicator, KnowsItsWorld) {
  EXPECT_EQ(size(), world().size());
  EXPECT_EQ(rank(), world().rank());
  EXPECT_EQ(world().local_size(), size()) << "one machine";
  // All ranks of these tests are unbound: each has its part of what all may use.
  EXPECT_LE(world().fair_threads(), std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / size()));
}

template <class T>
void expect_sums(size_t count) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<T>((rank() + 1) * static_cast<int>(i % 100));
  communicator().all_reduce_sum(std::span<T>(values), "all_reduce (test)").get();
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(values[i], static_cast<T>(rank_sum() * static_cast<int>(i % 100))) << i;
}

TEST(Communicator, SumsFloatsAndDoublesOfAnyLength) {
  for (size_t count : {0, 1, 17, 100000}) {
    expect_sums<float>(count);
    expect_sums<double>(count);
  }
}

TEST(Communicator, TheSumHasTheSameBitsOnEveryRank) {
  std::vector<float> values(5000);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = 1.0f / static_cast<float>(3 + i + 7 * static_cast<size_t>(rank()));
  communicator().all_reduce_sum(std::span<float>(values), "all_reduce (test)").get();
  const auto bytes = std::as_bytes(std::span(values));
  const auto all = communicator().all_gather({bytes.begin(), bytes.end()}, "all_gather (test)").get();
  for (const auto& one : all) EXPECT_EQ(one, all[0]);
}

TEST(Communicator, SumsRoundedToBfloat16AreWithinTheirPrecisionAndTheSameOnEveryRank) {
  std::vector<Bfloat16> values(3001);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = to_bfloat16(0.37f * static_cast<float>(i % 91) * static_cast<float>(rank() + 1));
  communicator().all_reduce_sum(std::span<Bfloat16>(values), "all_reduce (test)").get();
  for (size_t i = 0; i < values.size(); ++i) {
    const float exact = 0.37f * static_cast<float>(i % 91) * static_cast<float>(rank_sum());
    ASSERT_NEAR(to_float(values[i]), exact, exact * static_cast<float>(size()) / 128) << i;
  }
  const auto bytes = std::as_bytes(std::span(values));
  const auto all = communicator().all_gather({bytes.begin(), bytes.end()}, "all_gather (test)").get();
  for (const auto& one : all) EXPECT_EQ(one, all[0]);
}

// Addition of floats is not associative: these values tell one order from another.
float rank_value(int of_rank, size_t i) {
  return (of_rank % 2 == 0 ? 1.0f : -1.0f) * 1e7f / static_cast<float>(of_rank + 1) + 0.1f * static_cast<float>(i % 17);
}

TEST(Communicator, TheSumIsThatOfRankZeroFirstWhateverItsLength) {
  for (size_t count : {1, 5, 64, 1024, 1025, 10007, 300000}) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = rank_value(rank(), i);
    communicator().all_reduce_sum(std::span<float>(values), "all_reduce (test)").get();
    for (size_t i = 0; i < count; ++i) {
      float expected = rank_value(0, i);
      for (int r = 1; r < size(); ++r) expected += rank_value(r, i);
      ASSERT_EQ(values[i], expected) << i << " of " << count;
    }
  }
}

TEST(Communicator, DoublesAndRoundedValuesAreAddedInRankOrderToo) {
  for (size_t count : {3, 512, 513, 2048, 2049, 5000}) {
    std::vector<double> values(count);
    std::vector<Bfloat16> rounded(count);
    for (size_t i = 0; i < count; ++i) {
      values[i] = 1e9 * static_cast<double>(rank_value(rank(), i));
      rounded[i] = to_bfloat16(rank_value(rank(), i));
    }
    communicator().all_reduce_sum(std::span<double>(values), "all_reduce (test)").get();
    communicator().all_reduce_sum(std::span<Bfloat16>(rounded), "all_reduce (test)").get();
    for (size_t i = 0; i < count; ++i) {
      double expected = 1e9 * static_cast<double>(rank_value(0, i));
      Bfloat16 expected_rounded = to_bfloat16(rank_value(0, i));
      for (int r = 1; r < size(); ++r) {
        expected += 1e9 * static_cast<double>(rank_value(r, i));
        expected_rounded = to_bfloat16(to_float(expected_rounded) + to_float(to_bfloat16(rank_value(r, i))));
      }
      ASSERT_EQ(values[i], expected) << i << " of " << count;
      ASSERT_EQ(rounded[i].bits, expected_rounded.bits) << i << " of " << count;
    }
  }
}

TEST(Communicator, ALateRankGetsWhatOthersHaveLongSent) {
  if (rank() == size() - 1) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::vector<float> few(3, 1), many(100000, 2);
  auto first = communicator().all_reduce_sum(std::span<float>(few), "all_reduce (test)");
  auto second =
      communicator().all_gather(std::vector<std::byte>(5, static_cast<std::byte>(rank())), "all_gather (test)");
  auto third = communicator().all_reduce_sum(std::span<float>(many), "all_reduce (test)");
  int value = rank() == 0 ? 9 : 0;
  communicator().broadcast(std::as_writable_bytes(std::span(&value, 1)), 0, "broadcast (test)");
  EXPECT_EQ(value, 9);
  EXPECT_EQ(few, std::vector<float>(3, static_cast<float>(size())));
  EXPECT_EQ(many, std::vector<float>(100000, static_cast<float>(2 * size())));
  EXPECT_EQ(second.get().back(), std::vector<std::byte>(5, static_cast<std::byte>(size() - 1)));
  first.get();
  third.get();
}

TEST(Bfloat16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(to_float(to_bfloat16(1.0f)), 1.0f);
  EXPECT_EQ(to_float(to_bfloat16(1.0f + 1.0f / 256)), 1.0f) << "a tie goes to the even neighbour";
  EXPECT_EQ(to_float(to_bfloat16(1.0f + 3.0f / 256)), 1.0f + 4.0f / 256);
  EXPECT_EQ(to_float(to_bfloat16(1.0f + 1.1f / 256)), 1.0f + 2.0f / 256);
  EXPECT_TRUE(std::isinf(to_float(to_bfloat16(3.4e38f)))) << "rounds up beyond the largest";
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::nanf(""))))) << "a NaN stays one";
}

TEST(Communicator, GathersSlicesInPlace) {
  std::vector<size_t> bounds = {0};
  for (int r = 0; r < size(); ++r) bounds.push_back(bounds.back() + static_cast<size_t>(3 + 5 * r));
  std::vector<float> values(bounds.back() + 2, -1);
  const auto own = static_cast<size_t>(rank());
  for (size_t i = bounds[own]; i < bounds[own + 1]; ++i) values[i] = static_cast<float>(i);
  communicator().all_gather_slices(values, bounds, "all_gather (test)").get();
  for (size_t i = 0; i < bounds.back(); ++i) ASSERT_EQ(values[i], static_cast<float>(i));
  EXPECT_EQ(values.back(), -1) << "what is in no slice stays";
}

TEST(Communicator, GathersUnequalSizesInRankOrder) {
  const std::vector<std::byte> mine(static_cast<size_t>(rank() * 1000), static_cast<std::byte>(rank() + 1));
  const auto all = communicator().all_gather(mine, "all_gather (test)").get();
  ASSERT_EQ(all.size(), static_cast<size_t>(size()));
  for (int from = 0; from < size(); ++from)
    EXPECT_EQ(all[static_cast<size_t>(from)],
              std::vector<std::byte>(static_cast<size_t>(from * 1000), static_cast<std::byte>(from + 1)));
}

TEST(Communicator, BroadcastsFromAnyRank) {
  for (int root = 0; root < size(); ++root) {
    int value = rank() == root ? 40 + root : -1;
    communicator().broadcast(std::as_writable_bytes(std::span(&value, 1)), root, "broadcast (test)");
    EXPECT_EQ(value, 40 + root);
  }
}

TEST(Communicator, ManyCallsInFlightAreDoneInTheirOrder) {
  std::vector<std::vector<float>> values(50);
  for (size_t i = 0; i < values.size(); ++i) values[i].assign(1 + 37 * i, static_cast<float>(i));
  std::vector<std::future<void>> done;
  done.reserve(values.size());
  for (auto& one : values) done.push_back(communicator().all_reduce_sum(std::span<float>(one), "all_reduce (test)"));
  done.back().get();
  for (auto& one : done) {
    if (&one == &done.back()) break;
    EXPECT_EQ(one.wait_for(std::chrono::seconds(0)), std::future_status::ready) << "an earlier call is done earlier";
  }
  for (int i = 0; i < 50; ++i)
    for (float value : values[static_cast<size_t>(i)]) ASSERT_EQ(value, static_cast<float>(i * size()));
}

TEST(Communicator, ABarrierWaitsForTheLastRank) {
  const auto start = std::chrono::steady_clock::now();
  if (rank() + 1 == size()) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  communicator().barrier("barrier (test)");
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(size() > 1 ? 250 : 0));
}

TEST(Communicator, CountsItsTimeInCollectives) {
  const double before = communicator().busy_seconds();
  expect_sums<float>(200000);
  communicator().barrier("barrier (test)");  // what came before it has been counted
  EXPECT_TRUE(size() == 1 || communicator().busy_seconds() > before);
}

}  // namespace
}  // namespace rehearse
