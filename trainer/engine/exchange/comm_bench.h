// Times the collectives that training uses, through the same Communicator; what the figures mean is in comm/BENCH.md.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"

namespace rehearse {

// Floats that all_reduce works on, in host memory or on a device.
class BenchBuffer {
 public:
  virtual ~BenchBuffer() = default;
  virtual size_t size() const = 0;
  virtual void sum(Communicator& communicator, size_t count) = 0;  // the first ones over all ranks; done on return
  virtual void write(const std::vector<float>& values) = 0;        // done on return; as many as size()
  virtual std::vector<float> read(size_t count) = 0;               // the first ones, in host memory
  virtual std::string memory() const = 0;                          // "host", "cuda"
};

struct CommBenchOptions {
  uint64_t min_bytes = 8;
  uint64_t max_bytes = 64 << 20;
  uint64_t factor = 4;
  int iterations = 20;
};

struct CommBenchResult {
  std::string collective;
  std::string memory;
  uint64_t bytes = 0;
  double median_s = 0, min_s = 0, max_s = 0;  // of the iterations; the slowest rank of each counts
  double algorithm_bytes_per_s = 0;           // bytes / median
  double bus_bytes_per_s = 0;                 // times bus_factor
  Traffic all_ranks;                          // of one call: sums over the ranks
  uint64_t most_messages = 0;                 // of one rank
  uint64_t wrong = 0;                         // values that were not what they had to be, over all ranks
};

// min, min x factor, and so on up to max.
std::vector<uint64_t> bench_sizes(const CommBenchOptions& options);
// What the busiest link has to carry for each byte of the algorithm bandwidth, whatever the number of ranks.
double bus_factor(const std::string& collective, int ranks);

// Collective: all_reduce of floats, broadcast and all_gather for every size; equal results on all ranks. `buffer` holds
// max_bytes.
std::vector<CommBenchResult> bench_collectives(const CommBenchOptions& options, Communicator& communicator,
                                               BenchBuffer& buffer);

std::string comm_bench_text(const std::vector<CommBenchResult>& results);
nlohmann::json comm_bench_json(const std::vector<CommBenchResult>& results);

}  // namespace rehearse
