// The collectives of several hosts, on one machine: ranks are told that they are elsewhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>

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

// Which host each rank is on.
struct Layout {
  const char* name;
  int (*host)(int rank, int size);
};

class Exchange : public ::testing::TestWithParam<Layout> {
 protected:
  static std::map<int, std::vector<int>> hosts() {
    std::map<int, std::vector<int>> by_first, by_host;
    for (int r = 0; r < size(); ++r) by_host[GetParam().host(r, size())].push_back(r);
    for (auto& [host, ranks] : by_host) by_first[ranks[0]] = ranks;
    return by_first;
  }
  MpiExchange exchange_{GetParam().host(rank(), size())};
};

// Addition of floats is not associative: these values tell one order from another.
float value_of(int of_rank, size_t i) {
  return (of_rank % 2 == 0 ? 1.0f : -1.0f) * 1e7f / static_cast<float>(of_rank + 1) + 0.1f * static_cast<float>(i % 17);
}

template <class T>
T from_float(float value) {
  if constexpr (std::is_same_v<T, Bfloat16>)
    return to_bfloat16(value);
  else
    return static_cast<T>(value);
}
template <class T>
T plus(T a, T b) {
  if constexpr (std::is_same_v<T, Bfloat16>)
    return to_bfloat16(to_float(a) + to_float(b));
  else
    return a + b;
}

// Equal as bits: -0 differs from 0.
template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return std::ranges::equal(std::as_bytes(a), std::as_bytes(b));
}

template <class T>
void expect_sum_in_order(MpiExchange& exchange, const std::map<int, std::vector<int>>& hosts, size_t count) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = from_float<T>(value_of(rank(), i));
  ASSERT_EQ(exchange.sum(std::span<T>(values)), 0);
  for (size_t i = 0; i < count; ++i) {
    std::optional<T> expected;
    for (const auto& [first, ranks] : hosts) {
      T sum = from_float<T>(value_of(ranks[0], i));
      for (size_t r = 1; r < ranks.size(); ++r) sum = plus(sum, from_float<T>(value_of(ranks[r], i)));
      expected = expected ? plus(*expected, sum) : sum;
    }
    ASSERT_TRUE(same_bits<T>({&values[i], 1}, {&*expected, 1})) << i << " of " << count;
  }
}

TEST_P(Exchange, SumsInTheOrderOfRanksThenOfHosts) {
  for (size_t count : {0, 1, 7, 1024, 1025, 10007, 300001}) {
    expect_sum_in_order<float>(exchange_, hosts(), count);
    expect_sum_in_order<double>(exchange_, hosts(), count);
    expect_sum_in_order<Bfloat16>(exchange_, hosts(), count);
  }
  expect_sum_in_order<float>(exchange_, hosts(), 1'200'003);  // more than a slot: several rounds
}

template <class T>
void expect_sums_of_slices(MpiExchange& exchange, size_t count, const std::vector<size_t>& bounds) {
  std::vector<T> whole(count);
  for (size_t i = 0; i < count; ++i) whole[i] = from_float<T>(value_of(rank(), i));
  std::vector<T> sliced = whole;
  ASSERT_EQ(exchange.sum(std::span<T>(whole)), 0);
  ASSERT_EQ(exchange.sum_slices(std::span<T>(sliced), bounds), 0);
  const auto r = static_cast<size_t>(rank());
  const size_t own = bounds[r + 1] - bounds[r];
  ASSERT_TRUE(same_bits<T>({&whole[bounds[r]], own}, {&sliced[bounds[r]], own})) << count;
}

// Equal slices, all on one rank, and slices of which some are empty; several rounds.
TEST_P(Exchange, SumsOfASliceAreThoseOfTheWhole) {
  for (const size_t count : {size_t{7}, size_t{1025}, size_t{100'007}, size_t{1'200'003}}) {
    std::vector<std::vector<size_t>> cuts(3);
    for (int r = 0; r <= size(); ++r) {
      cuts[0].push_back(count * static_cast<size_t>(r) / static_cast<size_t>(size()));
      cuts[1].push_back(r == 0 ? 0 : count);
      cuts[2].push_back(count * static_cast<size_t>(r / 2 * 2) / static_cast<size_t>(size() + 1) / 2);
    }
    cuts[2].back() = count;
    for (const std::vector<size_t>& bounds : cuts) {
      expect_sums_of_slices<float>(exchange_, count, bounds);
      expect_sums_of_slices<Bfloat16>(exchange_, count, bounds);
    }
  }
}

// Each host sends every other one the slices of that one's ranks and gets its own: half the bytes of a whole sum.
TEST(Slices, CostHalfTheBytesBetweenHosts) {
  MpiExchange exchange(rank());
  std::vector<float> values(240'000, 1);
  std::vector<size_t> bounds;
  for (size_t r = 0; r <= static_cast<size_t>(size()); ++r)
    bounds.push_back(values.size() * r / static_cast<size_t>(size()));
  const auto sent = [&](auto&& call) {
    const Traffic before = exchange.traffic();
    EXPECT_EQ(call(), 0);
    const Traffic now = exchange.traffic();
    return std::pair(now.messages - before.messages, now.message_bytes - before.message_bytes);
  };
  const auto whole = sent([&] { return exchange.sum(std::span<float>(values)); });
  const auto slices = sent([&] { return exchange.sum_slices(std::span<float>(values), bounds); });
  EXPECT_EQ(slices.first * 2, whole.first);
  EXPECT_EQ(slices.second * 2, whole.second);
}

TEST_P(Exchange, GathersSlicesOfAnySize) {
  for (const size_t unit : {size_t{1}, size_t{100'003}, size_t{900'001}}) {
    std::vector<size_t> bounds = {3};  // what is in no slice stays
    for (int r = 0; r < size(); ++r) bounds.push_back(bounds.back() + unit * static_cast<size_t>((r + 1) % 3));
    std::vector<std::byte> bytes(bounds.back() + 5, std::byte{0x7f});
    const auto expected = [&](size_t r, size_t i) { return static_cast<std::byte>((i * 31 + r * 7) % 101); };
    const auto own = static_cast<size_t>(rank());
    for (size_t i = bounds[own]; i < bounds[own + 1]; ++i) bytes[i] = expected(own, i);
    ASSERT_EQ(exchange_.gather(bytes, bounds), 0);
    for (size_t r = 0; r + 1 < bounds.size(); ++r)
      for (size_t i = bounds[r]; i < bounds[r + 1]; ++i) ASSERT_EQ(bytes[i], expected(r, i)) << r << " " << i;
    EXPECT_EQ(bytes[2], std::byte{0x7f});
    EXPECT_EQ(bytes.back(), std::byte{0x7f});
  }
}

TEST_P(Exchange, BroadcastsFromEveryRank) {
  for (int root = 0; root < size(); ++root)
    for (const size_t count : {size_t{0}, size_t{1}, size_t{4097}, size_t{3'000'001}}) {
      std::vector<std::byte> bytes(count, static_cast<std::byte>(rank() == root ? 40 + root : 0));
      ASSERT_EQ(exchange_.broadcast(bytes, root), 0);
      ASSERT_TRUE(std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return b == std::byte(40 + root); }));
    }
}

TEST_P(Exchange, ManyCallsOneAfterAnotherKeepApart) {
  for (int i = 0; i < 200; ++i) {
    std::vector<float> few(static_cast<size_t>(1 + i % 5), static_cast<float>(i));
    ASSERT_EQ(exchange_.sum(std::span<float>(few)), 0);
    for (float value : few) ASSERT_EQ(value, static_cast<float>(i * size()));
    if (i % 3 == 0) {
      ASSERT_EQ(exchange_.barrier(), 0);
    }
    int word = rank() == i % size() ? i : -1;
    ASSERT_EQ(exchange_.broadcast(std::as_writable_bytes(std::span(&word, 1)), i % size()), 0);
    ASSERT_EQ(word, i);
  }
}

// Written from BENCH.md, not from the code.
Traffic model_of_sum(const std::map<int, std::vector<int>>& hosts, uint64_t bytes) {
  const uint64_t num_hosts = hosts.size();
  uint64_t most_lanes = ~uint64_t{0};
  for (const auto& [first, ranks] : hosts) most_lanes = std::min<uint64_t>(most_lanes, ranks.size());
  const uint64_t lanes = std::clamp<uint64_t>(bytes / (8192 * num_hosts), 1, most_lanes);
  const bool is_whole = bytes / lanes <= 4096;
  Traffic all;
  if (num_hosts > 1) {
    all.messages = num_hosts * lanes * (num_hosts - 1) * (is_whole ? 1 : 2);
    all.message_bytes = (num_hosts - 1) * bytes * (is_whole ? num_hosts : 2);
  }
  for (const auto& [first, ranks] : hosts) {
    const uint64_t local = ranks.size();
    if (local == 1) continue;
    const bool adds_all = num_hosts == 1 && bytes <= 4096;
    all.shared_bytes += local * bytes;
    all.meetings += local * (adds_all ? 1 : num_hosts > 1 && lanes != local ? 3 : 2);
  }
  return all;
}

TEST_P(Exchange, WhatASumCostsIsWhatTheModelSays) {
  for (const uint64_t count : {4, 1024, 15'360, 245'760}) {
    std::vector<float> values(count, 1);
    const Traffic before = exchange_.traffic();
    ASSERT_EQ(exchange_.sum(std::span<float>(values)), 0);
    const Traffic now = exchange_.traffic();
    Traffic all;
    for (const Traffic& one :
         gather_values(communicator(),
                       Traffic{now.messages - before.messages, now.message_bytes - before.message_bytes,
                               now.meetings - before.meetings, now.shared_bytes - before.shared_bytes},
                       "all_gather (traffic)")) {
      all.messages += one.messages;
      all.message_bytes += one.message_bytes;
      all.meetings += one.meetings;
      all.shared_bytes += one.shared_bytes;
    }
    const Traffic model = model_of_sum(hosts(), 4 * count);
    EXPECT_EQ(all.messages, model.messages) << count;
    EXPECT_EQ(all.message_bytes, model.message_bytes) << count;
    EXPECT_EQ(all.meetings, model.meetings) << count;
    EXPECT_EQ(all.shared_bytes, model.shared_bytes) << count;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, Exchange,
                         ::testing::Values(Layout{"OneHost", [](int, int) { return 5; }},
                                           Layout{"AHostEach", [](int rank, int) { return rank; }},
                                           Layout{"Pairs", [](int rank, int) { return rank / 2; }},
                                           Layout{"Dealt", [](int rank, int) { return 1 - rank % 2; }},
                                           Layout{"Unequal", [](int rank, int) { return rank == 0 ? 1 : 0; }},
                                           Layout{"TwoThenOthers", [](int rank, int) { return std::max(1, rank); }}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Messages, LongerThanTheLimitTravelInPieces) {
  MpiExchange exchange(rank(), 1000);
  std::vector<float> values(5003, static_cast<float>(rank() + 1));
  ASSERT_EQ(exchange.sum(std::span<float>(values)), 0);
  const int sum = size() * (size() + 1) / 2;
  for (float value : values) ASSERT_EQ(value, static_cast<float>(sum));
  std::vector<std::byte> bytes(12'345, static_cast<std::byte>(rank() == 0 ? 9 : 0));
  ASSERT_EQ(exchange.broadcast(bytes, 0), 0);
  EXPECT_EQ(bytes, std::vector<std::byte>(12'345, std::byte{9}));
  EXPECT_EQ(exchange.traffic().messages > static_cast<uint64_t>(2 * (size() - 1)), size() > 1);
}

TEST(HostMemory, RanksOfThisMachineShareMemory) {
  const MpiExchange exchange(MpiExchange::own_host());
  EXPECT_EQ(exchange.refusal(), "");
  EXPECT_EQ(exchange.hosts().size(), 1u);
}

}  // namespace
}  // namespace rehearse
