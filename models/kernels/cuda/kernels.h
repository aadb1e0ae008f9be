// The kernels behind the table of models/kernels/device_kernels.h, where each contract stands.
#pragma once

#include "models/kernels/device_kernels.h"

namespace rehearse::cuda {

void depthwise_forward(const DeviceDepthwise& call, const float* x, const float* weight, float* y);
void depthwise_grad_input(const DeviceDepthwise& call, const float* dy, const float* weight, float* dx);
void depthwise_grad_weight(const DeviceDepthwise& call, const float* x, const float* dy, float* dweight,
                           float* partials);
void layer_norm_forward(const DeviceBatch& batch, const DeviceLayerNorm& norm, float* y);
void layer_norm_backward(const DeviceBatch& batch, const DeviceLayerNorm& norm, const DeviceLayerNormGradients& out);
void gate_forward(const DeviceBatch& batch, const DeviceGate& gate, float* y);
void gate_backward(const DeviceBatch& batch, const DeviceGate& gate, const DeviceGateGradients& out);
void ctc(const DeviceCtc& call);
void argmax(const float* logits, int64_t rows, int64_t classes, int32_t* best, void* stream);
void sum_of_squares(const float* values, int64_t count, double* partials, void* stream);
void adamw(float* parameter, const float* gradient, float* average, float* square, const DeviceAdamWSegment* segments,
           int64_t num_segments, const DeviceAdamW& update, void* stream);
void sgd(float* parameter, const float* gradient, float* velocity, const DeviceSgdSegment* segments,
         int64_t num_segments, const DeviceSgd& update, void* stream);
float* allocate(int64_t count);
void release(float* memory);
void download(float* to_host, const float* from, int64_t count);
void upload(float* to, const float* from_host, int64_t count);

}  // namespace rehearse::cuda
