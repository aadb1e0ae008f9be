#include "trainer/engine/exchange/comm_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/fake_communicator.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HostBuffer : public BenchBuffer {
 public:
  explicit HostBuffer(uint64_t bytes) : values_(bytes / sizeof(float)) {}
  size_t size() const override { return values_.size(); }
  void sum(Communicator& communicator, size_t count) override {
    communicator.all_reduce_sum(std::span(values_).first(count), "all_reduce (bench)").get();
  }
  void write(const std::vector<float>& values) override { values_ = values; }
  std::vector<float> read(size_t count) override {
    return {values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(count)};
  }
  std::string memory() const override { return "host"; }

 private:
  std::vector<float> values_;
};

std::vector<CommBenchResult> bench_in_world_of(int ranks) {
  CommBenchOptions options;
  options.min_bytes = 8;
  options.max_bytes = 128;
  options.iterations = 2;
  FakeCommunicator communicator(ranks);
  HostBuffer buffer(options.max_bytes);
  return bench_collectives(options, communicator, buffer);
}

TEST(CommBench, SizesGrowByTheFactorAndDoNotExceedTheLargest) {
  EXPECT_THAT(bench_sizes({8, 600, 4, 1}), ElementsAre(8, 32, 128, 512));
  EXPECT_THAT(bench_sizes({8, 8, 4, 1}), ElementsAre(8));
}

TEST(CommBench, BusFactorsAreThoseOfNcclTests) {
  EXPECT_DOUBLE_EQ(bus_factor("all_reduce", 4), 1.5);
  EXPECT_DOUBLE_EQ(bus_factor("all_gather", 4), 0.75);
  EXPECT_DOUBLE_EQ(bus_factor("broadcast", 4), 1);
  for (const char* collective : {"all_reduce", "all_gather", "broadcast"})
    EXPECT_DOUBLE_EQ(bus_factor(collective, 1), 0) << collective;
}

TEST(CommBench, EveryCollectiveIsMeasuredAtEverySizeWithItsValuesChecked) {
  const auto results = bench_in_world_of(1);
  ASSERT_EQ(results.size(), 9u);
  for (const CommBenchResult& one : results) {
    EXPECT_EQ(one.wrong, 0u) << one.collective;
    EXPECT_LE(one.min_s, one.median_s);
    EXPECT_LE(one.median_s, one.max_s);
    EXPECT_DOUBLE_EQ(one.algorithm_bytes_per_s, static_cast<double>(one.bytes) / one.median_s);
  }
  const std::string text = comm_bench_text(results);
  for (const char* part : {"all_reduce", "broadcast", "all_gather", "bus GB/s", "128"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_EQ(comm_bench_json(results).at(2).at("bytes"), 128);
}

// The stand-in gives every rank's part as a copy of the first, and a multiple as a sum.
TEST(CommBench, WrongValuesAreCounted) {
  const auto results = bench_in_world_of(2);
  const auto wrong_of = [&](const std::string& collective) {
    return std::count_if(results.begin(), results.end(),
                         [&](const auto& one) { return one.collective == collective && one.wrong > 0; });
  };
  EXPECT_EQ(wrong_of("all_reduce"), 3);
  EXPECT_EQ(wrong_of("all_gather"), 3);
  EXPECT_EQ(wrong_of("broadcast"), 0);
}

}  // namespace
}  // namespace rehearse
