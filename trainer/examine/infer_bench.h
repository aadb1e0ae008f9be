// `rehearse bench infer`: how fast a model answers, front-end included.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rehearse {

struct InferBenchRequest {
  std::string path;                    // a configuration, or a checkpoint
  std::vector<std::string> overrides;  // --set
  std::optional<double> seconds;       // of an example
  int64_t batch = 1;
  int threads = 0;                    // 0: those that are free
  std::string precision = "float32";  // or bfloat16, float16
  int iterations = 20;                // timed passes
  std::string json_path;              // "": none
};

// Prints on rank 0. On the CPU, without gradients, in evaluation; what is decoded from the answer is not timed.
int bench_infer(const InferBenchRequest& request);

}  // namespace rehearse
