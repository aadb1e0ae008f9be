// The depthwise convolution on a device.
#pragma once

#include <cstdint>

#include "models/kernels/depthwise.h"
#include "models/kernels/device_pieces.h"
#include "models/kernels/device_table.h"

namespace rehearse {

struct DeviceDepthwise {
  DepthwiseShape shape;
  int64_t utterances = 0;
  int64_t frames = 0;                // T of x
  const int64_t* lengths = nullptr;  // host [B], of x
  void* stream = nullptr;
};

// y [B, T', C] and dx [B, T, C] are overwritten.
struct DepthwiseForwardOnDevice {
  static constexpr const char* kName = "depthwise_forward";
  using Signature = void(const DeviceDepthwise& call, const float* x, const float* weight, float* y);
};
struct DepthwiseGradInputOnDevice {
  static constexpr const char* kName = "depthwise_grad_input";
  using Signature = void(const DeviceDepthwise& call, const float* dy, const float* weight, float* dx);
};
// dweight [K, C] is overwritten; partials [B · pieces_of(T'), K, C] scratch.
struct DepthwiseGradWeightOnDevice {
  static constexpr const char* kName = "depthwise_grad_weight";
  using Signature = void(const DeviceDepthwise& call, const float* x, const float* dy, float* dweight, float* partials);
};

}  // namespace rehearse
