// AdamW on a device; adamw.cpp has the definition.
#pragma once

#include <cstdint>

#include "models/kernels/device_table.h"

namespace rehearse {

// One segment of the flat buffers under an update.
struct DeviceAdamWSegment {
  int64_t offset, length;
  float step_size, decay_factor;
};
struct DeviceAdamW {
  float beta1, beta2, eps, inverse_root_correction2, gradient_scale;
};
struct AdamWOnDevice {
  static constexpr const char* kName = "adamw";
  using Signature = void(float* parameter, const float* gradient, float* average, float* square,
                         const DeviceAdamWSegment* segments, int64_t num_segments, const DeviceAdamW& update,
                         void* stream);
};

}  // namespace rehearse
