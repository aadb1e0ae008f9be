// Layer norm and gates with their epilogue on a device.
#pragma once

#include <cstdint>

#include "models/kernels/device_pieces.h"
#include "models/kernels/device_table.h"
#include "models/kernels/frame_ops.h"

namespace rehearse {

// What a batch [B, T, C] says about its utterances. Frames at or beyond a length are neither read nor given a gradient,
// and are zero in every result.
struct DeviceBatch {
  int64_t utterances = 0;            // B
  int64_t frames = 0;                // T
  int64_t channels = 0;              // C
  const int64_t* lengths = nullptr;  // host [B]
  const Dropout* dropout = nullptr;  // host [B], or null for none
  Activation activation = Activation::kNone;
  void* stream = nullptr;
};

// The definition is LayerNormRows.
struct DeviceLayerNorm {
  const float* x;
  const float* bias;  // may be null
  const float* weight;
  const float* shift;
  float* mean;  // [B, T]
  float* rstd;  // [B, T]
  double epsilon;
};
struct DeviceLayerNormGradients {
  const float* dy;
  float* dx;
  float* sums;      // [3, C]: of weight, shift and bias
  float* partials;  // [num_partials, 3, C] scratch
};

// The definition is GatedRows.
struct DeviceGate {
  const float* x;
  const float* gate;      // [B, C] or null
  const float* residual;  // [B, T, C] or null
};
struct DeviceGateGradients {
  const float* dy;
  float* dx;
  float* dresidual;  // may be null
  float* dgate;      // [B, C] or null
  float* partials;   // [B, pieces_per_utterance, C] scratch, null without dgate
};

struct LayerNormForwardOnDevice {
  static constexpr const char* kName = "layer_norm_forward";
  using Signature = void(const DeviceBatch& batch, const DeviceLayerNorm& norm, float* y);
};
struct LayerNormBackwardOnDevice {
  static constexpr const char* kName = "layer_norm_backward";
  using Signature = void(const DeviceBatch& batch, const DeviceLayerNorm& norm, const DeviceLayerNormGradients& out);
};
struct GateForwardOnDevice {
  static constexpr const char* kName = "gate_forward";
  using Signature = void(const DeviceBatch& batch, const DeviceGate& gate, float* y);
};
struct GateBackwardOnDevice {
  static constexpr const char* kName = "gate_backward";
  using Signature = void(const DeviceBatch& batch, const DeviceGate& gate, const DeviceGateGradients& out);
};

}  // namespace rehearse
