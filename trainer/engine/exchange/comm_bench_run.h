// `rehearse bench comm`: the world, the device and the figures of comm_bench.h.
#pragma once

#include <string>

#include "trainer/engine/exchange/comm_bench.h"

namespace rehearse {

struct CommBenchRequest {
  CommBenchOptions options;
  std::string device = "cpu";  // or cuda, through the plug-in that train uses
  std::string json_path;       // empty: none
};

// Collective: every rank calls it. Rank 0 prints; CommError when a value came out wrong.
int bench_comm(const CommBenchRequest& request);

}  // namespace rehearse
