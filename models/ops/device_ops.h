// The fused operations on a device, for float tensors: what fused_ops.cpp, depthwise_conv.cpp and ctc_loss.cpp call
// where a tensor is not on the CPU. Inputs are contiguous; results have the meaning of the CPU kernels.
#pragma once

#include <vector>

#include "models/kernels/depthwise.h"
#include "models/ops/ctc_loss.h"
#include "models/ops/fused_ops.h"

namespace rehearse {

// A host tensor on the device of `like`: through pinned memory, without waiting. The same tensor on the CPU.
at::Tensor to_device_of(const at::Tensor& like, const at::Tensor& host);

at::Tensor device_depthwise_forward(const at::Tensor& x, const at::Tensor& weight, const std::vector<int64_t>& lengths,
                                    const DepthwiseShape& shape);
// `x` gives the shape only.
at::Tensor device_depthwise_grad_input(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& dy,
                                       const std::vector<int64_t>& lengths, const DepthwiseShape& shape);
at::Tensor device_depthwise_grad_weight(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& dy,
                                        const std::vector<int64_t>& lengths, const DepthwiseShape& shape);

struct DeviceNormTensors {
  const at::Tensor& x;     // [B, T, C]
  const at::Tensor& bias;  // [C] or undefined
  const at::Tensor& weight;
  const at::Tensor& shift;
  const at::Tensor& moments;  // [2, B, T], written by forward
  double epsilon;
};
at::Tensor device_layer_norm_forward(const DeviceNormTensors& tensors, const std::vector<int64_t>& lengths,
                                     const Epilogue& epilogue);
struct DeviceNormGradients {
  at::Tensor dx;    // [B, T, C]
  at::Tensor sums;  // [3, C]: of weight, shift and bias
};
DeviceNormGradients device_layer_norm_backward(const DeviceNormTensors& tensors, const at::Tensor& dy,
                                               const std::vector<int64_t>& lengths, const Epilogue& epilogue);

struct DeviceGateTensors {
  const at::Tensor& x;         // [B, T, C]
  const at::Tensor& gate;      // [B, C] or undefined
  const at::Tensor& residual;  // [B, T, C] or undefined
};
at::Tensor device_gate_forward(const DeviceGateTensors& tensors, const std::vector<int64_t>& lengths,
                               const Epilogue& epilogue);
struct DeviceGateResults {
  at::Tensor dx, dgate, dresidual;  // undefined where there is no such input
};
DeviceGateResults device_gate_backward(const DeviceGateTensors& tensors, const at::Tensor& dy,
                                       const std::vector<int64_t>& lengths, const Epilogue& epilogue);

// Fills `result` but for the losses, which are pending; returns the gradient. Does not wait.
at::Tensor device_ctc(const at::Tensor& logits, const std::vector<int64_t>& lengths,
                      const std::vector<std::vector<int32_t>>& targets, int32_t blank,
                      const std::vector<double>& weights, CtcLoss& result);
// The best class of every frame, int32 [B, T]; of equal ones the lowest.
at::Tensor device_argmax(const at::Tensor& logits);

}  // namespace rehearse
