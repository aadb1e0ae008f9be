#include "trainer/engine/exchange/comm_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>

#include "trainer/base/error.h"
#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

constexpr int kWarmUps = 3;
constexpr size_t kPeriod = 13;  // of the pattern; odd, so that no block boundary hides a mistake

// Small whole numbers, whose sum over ranks is exact in any order.
float pattern(size_t index, int rank) {
  return static_cast<float>((index % kPeriod + 1) * static_cast<size_t>(rank + 1));
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto view = std::as_bytes(std::span(values));
  return {view.begin(), view.end()};
}

template <class T>
std::vector<T> values_of(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

// One collective of one size: how it is called, and how many values it got wrong.
struct Case {
  std::string collective;
  std::string memory;
  uint64_t bytes = 0;
  std::function<void()> call;
  std::function<uint64_t()> count_wrong;  // a call of its own, with values that are known
};

class Bench {
 public:
  Bench(const CommBenchOptions& options, Communicator& communicator) : options_(options), communicator_(communicator) {}

  CommBenchResult measure(const Case& one) const {
    CommBenchResult result{one.collective, one.memory, one.bytes};
    result.wrong = one.count_wrong();
    for (int i = 0; i < kWarmUps; ++i) one.call();
    count_traffic(one, result);
    std::vector<double> seconds;
    for (int i = 0; i < options_.iterations; ++i) {
      communicator_.barrier("barrier (bench)");
      const auto start = std::chrono::steady_clock::now();
      one.call();
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    result.wrong = sum_over_ranks(result.wrong + one.count_wrong());
    seconds = slowest_rank(seconds);
    std::sort(seconds.begin(), seconds.end());
    result.median_s = (seconds[(seconds.size() - 1) / 2] + seconds[seconds.size() / 2]) / 2;
    result.min_s = seconds.front();
    result.max_s = seconds.back();
    result.algorithm_bytes_per_s = static_cast<double>(one.bytes) / result.median_s;
    result.bus_bytes_per_s = result.algorithm_bytes_per_s * bus_factor(one.collective, communicator_.size());
    return result;
  }

 private:
  void count_traffic(const Case& one, CommBenchResult& result) const {
    const Traffic before = communicator_.traffic();
    one.call();
    const Traffic after = communicator_.traffic();
    const Traffic own{after.messages - before.messages, after.message_bytes - before.message_bytes,
                      after.meetings - before.meetings, after.shared_bytes - before.shared_bytes};
    for (const Traffic& rank : gather_values(communicator_, own, "all_gather (bench traffic)")) {
      result.all_ranks.messages += rank.messages;
      result.all_ranks.message_bytes += rank.message_bytes;
      result.all_ranks.meetings += rank.meetings;
      result.all_ranks.shared_bytes += rank.shared_bytes;
      result.most_messages = std::max(result.most_messages, rank.messages);
    }
  }
  std::vector<double> slowest_rank(const std::vector<double>& mine) const {
    std::vector<double> slowest = mine;
    for (const auto& bytes : communicator_.all_gather(bytes_of(mine), "all_gather (bench times)").get()) {
      const std::vector<double> theirs = values_of<double>(bytes);
      for (size_t i = 0; i < slowest.size(); ++i) slowest[i] = std::max(slowest[i], theirs.at(i));
    }
    return slowest;
  }
  uint64_t sum_over_ranks(uint64_t mine) const {
    uint64_t sum = 0;
    for (const auto& bytes :
         communicator_.all_gather(bytes_of(std::vector<uint64_t>{mine}), "all_gather (bench counts)").get())
      sum += values_of<uint64_t>(bytes).at(0);
    return sum;
  }

  const CommBenchOptions& options_;
  Communicator& communicator_;
};

Case all_reduce_case(uint64_t bytes, Communicator& communicator, BenchBuffer& buffer) {
  const size_t count = std::max<size_t>(1, bytes / sizeof(float));
  const auto call = [=, &communicator, &buffer] { buffer.sum(communicator, count); };
  // Leaves zeros, which calls one after another do not change.
  const auto count_wrong = [=, &communicator, &buffer] {
    std::vector<float> values(buffer.size());
    for (size_t i = 0; i < count; ++i) values[i] = pattern(i, communicator.rank());
    buffer.write(values);
    call();
    const std::vector<float> found = buffer.read(count);
    const auto ranks = static_cast<float>(communicator.size());
    uint64_t wrong = 0;
    for (size_t i = 0; i < count; ++i) wrong += found[i] == pattern(i, 0) * ranks * (ranks + 1) / 2 ? 0 : 1;
    buffer.write(std::vector<float>(values.size()));
    return wrong;
  };
  return {"all_reduce", buffer.memory(), count * sizeof(float), call, count_wrong};
}

std::vector<std::byte> byte_pattern(size_t count, int rank) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<std::byte>(i % kPeriod + 17 * static_cast<size_t>(rank + 1));
  return bytes;
}

uint64_t differences(const std::vector<std::byte>& found, const std::vector<std::byte>& expected) {
  if (found.size() != expected.size()) return std::max(found.size(), expected.size());
  uint64_t count = 0;
  for (size_t i = 0; i < found.size(); ++i) count += found[i] == expected[i] ? 0 : 1;
  return count;
}

Case broadcast_case(uint64_t bytes, Communicator& communicator) {
  const auto memory = std::make_shared<std::vector<std::byte>>(bytes);
  const auto call = [memory, &communicator] { communicator.broadcast(*memory, 0, "broadcast (bench)"); };
  const auto count_wrong = [=, &communicator] {
    *memory = byte_pattern(bytes, communicator.rank());
    call();
    return differences(*memory, byte_pattern(bytes, 0));
  };
  return {"broadcast", "host", bytes, call, count_wrong};
}

Case all_gather_case(uint64_t bytes, Communicator& communicator) {
  const auto ranks = static_cast<uint64_t>(communicator.size());
  const uint64_t share = std::max<uint64_t>(1, bytes / ranks);
  const std::vector<std::byte> mine = byte_pattern(share, communicator.rank());
  const auto call = [mine, &communicator] { communicator.all_gather(mine, "all_gather (bench)").get(); };
  const auto count_wrong = [=, &communicator] {
    const auto all = communicator.all_gather(mine, "all_gather (bench)").get();
    if (all.size() != ranks) return share * ranks;
    uint64_t wrong = 0;
    for (size_t rank = 0; rank < all.size(); ++rank)
      wrong += differences(all[rank], byte_pattern(share, static_cast<int>(rank)));
    return wrong;
  };
  return {"all_gather", "host", share * ranks, call, count_wrong};
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace

std::vector<uint64_t> bench_sizes(const CommBenchOptions& options) {
  REHEARSE_CHECK(options.factor > 1 && options.min_bytes > 0, "sizes have to grow");
  std::vector<uint64_t> sizes;
  for (uint64_t bytes = options.min_bytes; bytes <= options.max_bytes; bytes *= options.factor) sizes.push_back(bytes);
  return sizes;
}

double bus_factor(const std::string& collective, int ranks) {
  const double share = static_cast<double>(ranks - 1) / ranks;
  if (collective == "all_reduce") return 2 * share;
  if (collective == "all_gather") return share;
  return ranks > 1 ? 1 : 0;
}

std::vector<CommBenchResult> bench_collectives(const CommBenchOptions& options, Communicator& communicator,
                                               BenchBuffer& buffer) {
  const Bench bench(options, communicator);
  std::vector<CommBenchResult> results;
  for (uint64_t bytes : bench_sizes(options))
    results.push_back(bench.measure(all_reduce_case(bytes, communicator, buffer)));
  for (uint64_t bytes : bench_sizes(options)) results.push_back(bench.measure(broadcast_case(bytes, communicator)));
  for (uint64_t bytes : bench_sizes(options)) results.push_back(bench.measure(all_gather_case(bytes, communicator)));
  return results;
}

std::string comm_bench_text(const std::vector<CommBenchResult>& results) {
  TextTable table({{"collective", TextTable::kLeft},
                   {"memory", TextTable::kLeft},
                   {"bytes"},
                   {"median us"},
                   {"min us"},
                   {"max us"},
                   {"algorithm GB/s"},
                   {"bus GB/s"},
                   {"wrong"}});
  for (size_t i = 0; i < results.size(); ++i) {
    const CommBenchResult& one = results[i];
    if (i > 0 && results[i - 1].collective != one.collective) table.add_rule();
    table.add_row({one.collective, one.memory, std::to_string(one.bytes), fixed(one.median_s * 1e6, 1),
                   fixed(one.min_s * 1e6, 1), fixed(one.max_s * 1e6, 1), fixed(one.algorithm_bytes_per_s / 1e9, 3),
                   fixed(one.bus_bytes_per_s / 1e9, 3), std::to_string(one.wrong)});
  }
  return table.text();
}

nlohmann::json comm_bench_json(const std::vector<CommBenchResult>& results) {
  nlohmann::json list = nlohmann::json::array();
  for (const CommBenchResult& one : results)
    list.push_back({{"collective", one.collective},
                    {"memory", one.memory},
                    {"bytes", one.bytes},
                    {"median_s", one.median_s},
                    {"min_s", one.min_s},
                    {"max_s", one.max_s},
                    {"algorithm_bytes_per_s", one.algorithm_bytes_per_s},
                    {"bus_bytes_per_s", one.bus_bytes_per_s},
                    {"messages", one.all_ranks.messages},
                    {"most_messages_of_a_rank", one.most_messages},
                    {"message_bytes", one.all_ranks.message_bytes},
                    {"meetings", one.all_ranks.meetings},
                    {"shared_bytes", one.all_ranks.shared_bytes},
                    {"wrong", one.wrong}});
  return list;
}

}  // namespace rehearse
