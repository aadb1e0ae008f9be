// Layer norm and gates with activation, counter-based dropout and mask, over [B, T, C]. The definitions, the dropout
// hash among them, are those of models/kernels/frame_ops.cpp.
#include "models/kernels/cuda/launch.cuh"
#include "models/kernels/device_frames.h"

namespace rehearse::cuda {
namespace {

constexpr int kRows = 8;      // rows of a block, one warp each
constexpr int kColumns = 64;  // threads of a block that walks down columns
constexpr int kPieceFrames = static_cast<int>(rehearse::kPieceFrames);

struct Extent {
  int frames, channels;
  Activation activation;
};

Extent extent_of(const DeviceBatch& batch) {
  return {static_cast<int>(batch.frames), static_cast<int>(batch.channels), batch.activation};
}

__device__ uint32_t element_hash(uint32_t element, uint32_t key_low, uint32_t key_high) {
  uint32_t x = (element ^ key_low) * 0x9E3779B9u;
  x ^= x >> 16;
  x *= 0x85EBCA6Bu;
  x ^= x >> 13;
  x = (x + key_high) * 0xC2B2AE35u;
  x ^= x >> 16;
  x *= 0x27D4EB2Fu;
  return x ^ (x >> 15);
}

// 0 or the scale for one element of an utterance.
struct DropoutFactor {
  uint32_t key_low, key_high, threshold;
  float scale;

  __device__ DropoutFactor(const Utterances& utterances, int in_part)
      : key_low(static_cast<uint32_t>(utterances.key[in_part])),
        key_high(static_cast<uint32_t>(utterances.key[in_part] >> 32)),
        threshold(utterances.threshold),
        scale(utterances.scale) {}
  __device__ float operator()(uint32_t element) const {
    if (threshold == 0) return 1.0f;
    return element_hash(element, key_low, key_high) >= threshold ? scale : 0.0f;
  }
};

__device__ float sigmoid(float z) {
  return 1.0f / (1.0f + expf(-z));
}

__device__ float activate(float z, Activation activation) {
  if (activation == Activation::kRelu) return z < 0 ? 0.0f : z;  // NaN stays
  if (activation == Activation::kSilu) return z * sigmoid(z);
  return z;
}

__device__ float slope(float z, Activation activation) {
  if (activation == Activation::kRelu) return z > 0 ? 1.0f : 0.0f;
  if (activation == Activation::kSilu) {
    const float s = sigmoid(z);
    return s * (1.0f + z * (1.0f - s));
  }
  return 1.0f;
}

// One warp per row, two passes for the moments as on the CPU.
__global__ void layer_norm_forward_kernel(Utterances utterances, Extent extent, DeviceLayerNorm norm, float* y) {
  const int t = blockIdx.x * kRows + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (t >= extent.frames) return;
  const int64_t row = static_cast<int64_t>(utterances.first + blockIdx.y) * extent.frames + t;
  const float* x = norm.x + row * extent.channels;
  float* to = y + row * extent.channels;
  if (t >= utterances.length[blockIdx.y]) {
    for (int c = lane; c < extent.channels; c += kWarp) to[c] = 0;
    if (lane == 0) norm.mean[row] = norm.rstd[row] = 0;
    return;
  }
  const auto value = [&](int c) { return norm.bias ? x[c] + norm.bias[c] : x[c]; };
  float sum = 0;
  for (int c = lane; c < extent.channels; c += kWarp) sum += value(c);
  const float mean = warp_sum(sum) / static_cast<float>(extent.channels);
  float squares = 0;
  for (int c = lane; c < extent.channels; c += kWarp) {
    const float centred = value(c) - mean;
    squares += centred * centred;
  }
  const float variance = warp_sum(squares) / static_cast<float>(extent.channels);
  const float rstd = 1.0f / sqrtf(variance + static_cast<float>(norm.epsilon));
  if (lane == 0) {
    norm.mean[row] = mean;
    norm.rstd[row] = rstd;
  }
  const DropoutFactor factor(utterances, blockIdx.y);
  for (int c = lane; c < extent.channels; c += kWarp) {
    const float z = (value(c) - mean) * rstd * norm.weight[c] + norm.shift[c];
    to[c] = activate(z, extent.activation) * factor(static_cast<uint32_t>(t) * extent.channels + c);
  }
}

struct NormSlope {
  float normed, dz;
};

// The normalised value and the gradient before weight and shift, of one element.
__device__ NormSlope norm_slope(const DeviceLayerNorm& norm, const float* dy, int64_t row, int t, int c,
                                const Extent& extent, const DropoutFactor& factor) {
  const int64_t at = row * extent.channels + c;
  const float value = norm.bias ? norm.x[at] + norm.bias[c] : norm.x[at];
  const float normed = (value - norm.mean[row]) * norm.rstd[row];
  float dz = dy[at] * factor(static_cast<uint32_t>(t) * extent.channels + c);
  dz *= slope(normed * norm.weight[c] + norm.shift[c], extent.activation);
  return {normed, dz};
}

// With g = dz · weight: dx = rstd (g − mean(g) − x̂ mean(g x̂)) (Ba, Kiros, Hinton 2016).
__global__ void layer_norm_dx_kernel(Utterances utterances, Extent extent, DeviceLayerNorm norm, const float* dy,
                                     float* dx) {
  const int t = blockIdx.x * kRows + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (t >= extent.frames) return;
  const int64_t row = static_cast<int64_t>(utterances.first + blockIdx.y) * extent.frames + t;
  float* to = dx + row * extent.channels;
  if (t >= utterances.length[blockIdx.y]) {
    for (int c = lane; c < extent.channels; c += kWarp) to[c] = 0;
    return;
  }
  const DropoutFactor factor(utterances, blockIdx.y);
  float sum = 0, product_sum = 0;
  for (int c = lane; c < extent.channels; c += kWarp) {
    const NormSlope at = norm_slope(norm, dy, row, t, c, extent, factor);
    const float g = at.dz * norm.weight[c];
    sum += g;
    product_sum += g * at.normed;
  }
  const float mean_g = warp_sum(sum) / static_cast<float>(extent.channels);
  const float mean_product = warp_sum(product_sum) / static_cast<float>(extent.channels);
  for (int c = lane; c < extent.channels; c += kWarp) {
    const NormSlope at = norm_slope(norm, dy, row, t, c, extent, factor);
    to[c] = (at.dz * norm.weight[c] - mean_g - at.normed * mean_product) * norm.rstd[row];
  }
}

// Columns of one piece of frames: gradients of weight, shift and bias, frames ascending.
__global__ void layer_norm_columns_kernel(Utterances utterances, Extent extent, DeviceLayerNorm norm, const float* dy,
                                          const float* dx, float* partials) {
  const int c = blockIdx.x * kColumns + threadIdx.x;
  if (c >= extent.channels) return;
  const int64_t utterance = utterances.first + blockIdx.z;
  const int begin = blockIdx.y * kPieceFrames;
  const int end = min(begin + kPieceFrames, utterances.length[blockIdx.z]);
  const DropoutFactor factor(utterances, blockIdx.z);
  float dweight = 0, dshift = 0, dbias = 0;
  for (int t = begin; t < end; ++t) {
    const int64_t row = utterance * extent.frames + t;
    const NormSlope at = norm_slope(norm, dy, row, t, c, extent, factor);
    dweight += at.dz * at.normed;
    dshift += at.dz;
    dbias += dx[row * extent.channels + c];
  }
  float* to = partials + (utterance * gridDim.y + blockIdx.y) * 3 * extent.channels + c;
  to[0] = dweight;
  to[extent.channels] = dshift;
  to[2 * extent.channels] = dbias;
}

__global__ void gate_forward_kernel(Utterances utterances, Extent extent, DeviceGate gate, float* y) {
  const int c = blockIdx.x * kColumns + threadIdx.x;
  if (c >= extent.channels) return;
  const int64_t utterance = utterances.first + blockIdx.z;
  const int begin = blockIdx.y * kPieceFrames;
  const int end = min(begin + kPieceFrames, extent.frames);
  const float factor_of_gate = gate.gate ? gate.gate[utterance * extent.channels + c] : 1.0f;
  const DropoutFactor factor(utterances, blockIdx.z);
  for (int t = begin; t < end; ++t) {
    const int64_t at = (utterance * extent.frames + t) * extent.channels + c;
    if (t >= utterances.length[blockIdx.z]) {
      y[at] = 0;
      continue;
    }
    float z = gate.x[at];
    if (gate.gate) z *= factor_of_gate;
    if (gate.residual) z += gate.residual[at];
    y[at] = activate(z, extent.activation) * factor(static_cast<uint32_t>(t) * extent.channels + c);
  }
}

// One piece of frames of one column: dx, dresidual, and the piece's part of dgate.
__global__ void gate_backward_kernel(Utterances utterances, Extent extent, DeviceGate gate, DeviceGateGradients out) {
  const int c = blockIdx.x * kColumns + threadIdx.x;
  if (c >= extent.channels) return;
  const int64_t utterance = utterances.first + blockIdx.z;
  const int begin = blockIdx.y * kPieceFrames;
  const int end = min(begin + kPieceFrames, extent.frames);
  const float factor_of_gate = gate.gate ? gate.gate[utterance * extent.channels + c] : 1.0f;
  const DropoutFactor factor(utterances, blockIdx.z);
  float dgate = 0;
  for (int t = begin; t < end; ++t) {
    const int64_t at = (utterance * extent.frames + t) * extent.channels + c;
    float dz = 0, dx = 0;
    if (t < utterances.length[blockIdx.z]) {
      const float x = gate.x[at];
      float z = gate.gate ? x * factor_of_gate : x;
      if (gate.residual) z += gate.residual[at];
      dz = out.dy[at] * factor(static_cast<uint32_t>(t) * extent.channels + c) * slope(z, extent.activation);
      dgate += dz * x;
      dx = gate.gate ? dz * factor_of_gate : dz;
    }
    out.dx[at] = dx;
    if (out.dresidual) out.dresidual[at] = dz;
  }
  if (out.dgate) out.partials[(utterance * gridDim.y + blockIdx.y) * extent.channels + c] = dgate;
}

dim3 row_grid(const DeviceBatch& batch, const Utterances& part) {
  return {blocks_for(batch.frames, kRows), static_cast<unsigned>(part.count)};
}

dim3 column_grid(const DeviceBatch& batch, const Utterances& part) {
  return {blocks_for(batch.channels, kColumns), blocks_for(batch.frames, kPieceFrames),
          static_cast<unsigned>(part.count)};
}

// Calls launch(part, stream) over the batch, when there is anything in it.
template <class Launch>
void over(const DeviceBatch& batch, const Launch& launch) {
  if (batch.frames == 0 || batch.channels == 0) return;
  for_utterances(batch.utterances, batch.lengths, batch.dropout,
                 [&](const Utterances& part) { launch(part, stream_of(batch.stream)); });
}

void layer_norm_forward(const DeviceBatch& batch, const DeviceLayerNorm& norm, float* y) {
  over(batch, [&](const Utterances& part, cudaStream_t stream) {
    layer_norm_forward_kernel<<<row_grid(batch, part), kRows * kWarp, 0, stream>>>(part, extent_of(batch), norm, y);
    expect_launched("layer norm forward");
  });
}

void layer_norm_backward(const DeviceBatch& batch, const DeviceLayerNorm& norm, const DeviceLayerNormGradients& out) {
  over(batch, [&](const Utterances& part, cudaStream_t stream) {
    layer_norm_dx_kernel<<<row_grid(batch, part), kRows * kWarp, 0, stream>>>(part, extent_of(batch), norm, out.dy,
                                                                              out.dx);
    expect_launched("layer norm backward");
    layer_norm_columns_kernel<<<column_grid(batch, part), kColumns, 0, stream>>>(part, extent_of(batch), norm, out.dy,
                                                                                 out.dx, out.partials);
    expect_launched("layer norm backward, columns");
  });
  combine_columns(out.partials, 1, batch.utterances * pieces_of(batch.frames), 3 * batch.channels, out.sums,
                  stream_of(batch.stream));
}

void gate_forward(const DeviceBatch& batch, const DeviceGate& gate, float* y) {
  over(batch, [&](const Utterances& part, cudaStream_t stream) {
    gate_forward_kernel<<<column_grid(batch, part), kColumns, 0, stream>>>(part, extent_of(batch), gate, y);
    expect_launched("gate forward");
  });
}

void gate_backward(const DeviceBatch& batch, const DeviceGate& gate, const DeviceGateGradients& out) {
  over(batch, [&](const Utterances& part, cudaStream_t stream) {
    gate_backward_kernel<<<column_grid(batch, part), kColumns, 0, stream>>>(part, extent_of(batch), gate, out);
    expect_launched("gate backward");
  });
  if (out.dgate)
    combine_columns(out.partials, batch.utterances, pieces_of(batch.frames), batch.channels, out.dgate,
                    stream_of(batch.stream));
}

REHEARSE_ON_DEVICE(LayerNormForwardOnDevice, layer_norm_forward);
REHEARSE_ON_DEVICE(LayerNormBackwardOnDevice, layer_norm_backward);
REHEARSE_ON_DEVICE(GateForwardOnDevice, gate_forward);
REHEARSE_ON_DEVICE(GateBackwardOnDevice, gate_backward);

}  // namespace
}  // namespace rehearse::cuda
