// SGD on a device; sgd.cpp has the definition.
#pragma once

#include <cstdint>

#include "models/kernels/device_table.h"

namespace rehearse {

// One segment of the flat buffers under an update.
struct DeviceSgdSegment {
  int64_t offset, length;
  float lr, decay;
};
struct DeviceSgd {
  float momentum, gradient_scale;
  bool is_nesterov;
};
struct SgdOnDevice {
  static constexpr const char* kName = "sgd";
  using Signature = void(float* parameter, const float* gradient, float* velocity, const DeviceSgdSegment* segments,
                         int64_t num_segments, const DeviceSgd& update, void* stream);
};

}  // namespace rehearse
