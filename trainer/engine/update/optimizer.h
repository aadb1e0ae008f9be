// Optimizers over the flat arena: one pass over segments with gradient scale, clip and decay folded in.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/kernels/device_table.h"
#include "trainer/base/config/config.h"
#include "trainer/base/state.h"

namespace rehearse {

// A parameter's place in the flat buffers; offset and length in elements.
struct Segment {
  std::string name;
  std::vector<int64_t> shape;
  size_t offset = 0;
  size_t length = 0;
  double lr_scale = 1.0;
  bool is_decayed = true;
  bool is_frozen = false;
};

// Plug-in ("adamw", "sgd"): one file in trainer/engine/optimizers. State has the layout of the parameters.
class Optimizer {
 public:
  struct Context {
    size_t num_elements = 0;              // of the flat buffers, padding included
    const DeviceTable* device = nullptr;  // null: the buffers are host memory
  };
  virtual ~Optimizer() = default;
  // In place, in the memory where the buffers live. The gradient counts times gradient_scale (1 / normaliser, times the
  // clip factor). update_index counts applied updates from 1, for bias correction. On the host threads may call it at
  // once for segments that do not overlap.
  virtual void step(std::span<float> parameters, std::span<const float> gradients, const std::vector<Segment>& segments,
                    double lr, double gradient_scale, uint64_t update_index) = 0;
  // Flat state buffers by name, for the checkpoint ("exp_avg", …): host memory.
  virtual std::vector<std::pair<std::string, std::span<float>>> state() = 0;
  // After values were written into state()'s spans.
  virtual void state_written() = 0;
  // state()'s spans are no longer read: what they hold of a device's memory is let go.
  virtual void state_read() = 0;
};

// Σ x² in double over blocks of 64 Ki elements at absolute offsets, partial sums added in index order: the same bits
// whatever was computed in which order or thread.
double sum_of_squares(std::span<const float> values);
constexpr size_t kSumBlock = size_t{64} * 1024;

}  // namespace rehearse
