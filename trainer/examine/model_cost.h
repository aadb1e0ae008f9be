// `rehearse model`: what each block of a model gives, costs and sees.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace rehearse {

struct ModelCostRequest {
  std::string path;                    // a configuration, or a checkpoint
  std::vector<std::string> overrides;  // --set
  std::optional<double> seconds;       // of an example
  int64_t batch = 0;                   // 0: as a micro-batch of the configuration
  int threads = 0;                     // 0: as the configuration says, else those that are free
  bool has_times = true;
  std::string json_path;  // "": none
};

// One block, the head, or the loss behind it.
struct StageCost {
  std::string name, type;
  std::vector<int64_t> shape;  // of its output, [B, T', C]; empty for the loss
  int64_t total_stride = 0;    // frames of the input for one of its output
  int64_t field_frames = 0;    // of the input that one of its output depends on; 0: all
  int64_t parameters = 0;
  double forward_flops = 0, backward_flops = 0;  // of products, a multiply-add being two
  int64_t kept_bytes = 0;                        // taken by its forward pass and still held after it
  double forward_s = 0, backward_s = 0;          // medians
  double seconds() const { return forward_s + backward_s; }
};

struct ModelCost {
  std::vector<StageCost> stages;  // the last one is the loss
  std::vector<int64_t> input;     // [B, T, C]
  std::string example_size;       // "15 s"; empty where examples have none
  std::string precision;
  double frame_ms = 0;  // 0: frames are no time
  int threads = 1;
  std::vector<std::string> doubts;
  // Only with times.
  int passes = 0;
  double whole_s = 0;              // median of whole steps: forward, loss, backward
  double product_flops_per_s = 0;  // of 3000 x 256 x 256 in the same precision on as many threads

  double stages_s() const;
};

std::string model_cost_text(const ModelCost& cost);
nlohmann::json model_cost_json(const ModelCost& cost);

// Prints the table on rank 0. On the CPU, whatever device the configuration names.
int model_cost(const ModelCostRequest& request);

}  // namespace rehearse
