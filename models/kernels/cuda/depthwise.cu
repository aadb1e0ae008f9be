// Depthwise convolution over [B, T, C]: one thread per channel, neighbours in C read neighbouring addresses.
#include "models/kernels/cuda/launch.cuh"
#include "models/kernels/device_depthwise.h"

namespace rehearse::cuda {
namespace {

constexpr int kChannels = 64;  // threads per block
constexpr int kFrames = 8;     // output frames per thread: independent sums hide the latency
constexpr int kTaps = 8;       // sums of one thread in the weight gradient

struct Shape {
  int64_t frames, output_frames;  // T and T'
  int channels, kernel, stride, dilation, padding;
};

Shape shape_of(const DeviceDepthwise& call) {
  return {call.frames,
          call.shape.output_frames(call.frames),
          static_cast<int>(call.shape.channels),
          static_cast<int>(call.shape.kernel),
          static_cast<int>(call.shape.stride),
          static_cast<int>(call.shape.dilation),
          static_cast<int>(call.shape.padding())};
}

__device__ int output_length(int length, int stride) {
  return length > 0 ? (length - 1) / stride + 1 : 0;
}

// y[t] = Σ_k weight[k] · x[t · stride + k · dilation − p], k ascending as on the CPU.
__global__ void forward_kernel(Utterances utterances, Shape shape, const float* x, const float* weight, float* y) {
  const int c = blockIdx.x * kChannels + threadIdx.x;
  if (c >= shape.channels) return;
  const int length = utterances.length[blockIdx.z];
  const int real = output_length(length, shape.stride);
  const int64_t utterance = utterances.first + blockIdx.z;
  const float* from = x + utterance * shape.frames * shape.channels + c;
  float* to = y + utterance * shape.output_frames * shape.channels + c;
  const int first = blockIdx.y * kFrames;
  float sums[kFrames] = {};
  if (first < real) {
    for (int k = 0; k < shape.kernel; ++k) {
      const float w = weight[static_cast<int64_t>(k) * shape.channels + c];
      const int origin = first * shape.stride + k * shape.dilation - shape.padding;
#pragma unroll
      for (int i = 0; i < kFrames; ++i) {
        const int position = origin + i * shape.stride;
        if (position >= 0 && position < length) sums[i] += w * from[static_cast<int64_t>(position) * shape.channels];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kFrames; ++i)
    if (first + i < shape.output_frames)
      to[static_cast<int64_t>(first + i) * shape.channels] = first + i < real ? sums[i] : 0.0f;
}

// dx[j] = Σ_k weight[k] · dy[(j + p − k · dilation) / stride] over exact divisions.
__global__ void grad_input_kernel(Utterances utterances, Shape shape, const float* dy, const float* weight, float* dx) {
  const int c = blockIdx.x * kChannels + threadIdx.x;
  if (c >= shape.channels) return;
  const int length = utterances.length[blockIdx.z];
  const int real = output_length(length, shape.stride);
  const int64_t utterance = utterances.first + blockIdx.z;
  const float* from = dy + utterance * shape.output_frames * shape.channels + c;
  float* to = dx + utterance * shape.frames * shape.channels + c;
  const int first = blockIdx.y * kFrames;
  float sums[kFrames] = {};
  if (first < length) {
    for (int k = 0; k < shape.kernel; ++k) {
      const float w = weight[static_cast<int64_t>(k) * shape.channels + c];
      const int origin = first + shape.padding - k * shape.dilation;
#pragma unroll
      for (int i = 0; i < kFrames; ++i) {
        const int position = origin + i;
        if (position < 0 || position % shape.stride != 0) continue;
        const int t = position / shape.stride;
        if (t < real) sums[i] += w * from[static_cast<int64_t>(t) * shape.channels];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kFrames; ++i)
    if (first + i < shape.frames)
      to[static_cast<int64_t>(first + i) * shape.channels] = first + i < length ? sums[i] : 0.0f;
}

// One piece of output frames, kTaps taps; the pieces are added by combine_columns.
__global__ void grad_weight_kernel(Utterances utterances, Shape shape, int tap_groups, const float* x, const float* dy,
                                   float* partials) {
  const int c = blockIdx.x * kChannels + threadIdx.x;
  if (c >= shape.channels) return;
  const int in_part = blockIdx.z / tap_groups;
  const int first_tap = blockIdx.z % tap_groups * kTaps;
  const int length = utterances.length[in_part];
  const int64_t utterance = utterances.first + in_part;
  const float* from = x + utterance * shape.frames * shape.channels + c;
  const float* slope = dy + utterance * shape.output_frames * shape.channels + c;
  const int begin = blockIdx.y * static_cast<int>(kPieceFrames);
  const int end = min(begin + static_cast<int>(kPieceFrames), output_length(length, shape.stride));
  float sums[kTaps] = {};
  for (int t = begin; t < end; ++t) {
    const float g = slope[static_cast<int64_t>(t) * shape.channels];
    const int origin = t * shape.stride + first_tap * shape.dilation - shape.padding;
#pragma unroll
    for (int i = 0; i < kTaps; ++i) {
      const int position = origin + i * shape.dilation;
      if (position >= 0 && position < length) sums[i] += g * from[static_cast<int64_t>(position) * shape.channels];
    }
  }
  float* to = partials + (utterance * gridDim.y + blockIdx.y) * shape.kernel * shape.channels + c;
#pragma unroll
  for (int i = 0; i < kTaps; ++i)
    if (first_tap + i < shape.kernel) to[static_cast<int64_t>(first_tap + i) * shape.channels] = sums[i];
}

void depthwise_forward(const DeviceDepthwise& call, const float* x, const float* weight, float* y) {
  const Shape shape = shape_of(call);
  if (shape.output_frames == 0) return;
  for_utterances(call.utterances, call.lengths, nullptr, [&](const Utterances& part) {
    const dim3 grid(blocks_for(shape.channels, kChannels), blocks_for(shape.output_frames, kFrames), part.count);
    forward_kernel<<<grid, kChannels, 0, stream_of(call.stream)>>>(part, shape, x, weight, y);
    expect_launched("depthwise forward");
  });
}

void depthwise_grad_input(const DeviceDepthwise& call, const float* dy, const float* weight, float* dx) {
  const Shape shape = shape_of(call);
  if (shape.frames == 0) return;
  for_utterances(call.utterances, call.lengths, nullptr, [&](const Utterances& part) {
    const dim3 grid(blocks_for(shape.channels, kChannels), blocks_for(shape.frames, kFrames), part.count);
    grad_input_kernel<<<grid, kChannels, 0, stream_of(call.stream)>>>(part, shape, dy, weight, dx);
    expect_launched("depthwise gradient of the input");
  });
}

void depthwise_grad_weight(const DeviceDepthwise& call, const float* x, const float* dy, float* dweight,
                           float* partials) {
  const Shape shape = shape_of(call);
  const int64_t pieces = pieces_of(shape.output_frames);
  const int tap_groups = (shape.kernel + kTaps - 1) / kTaps;
  if (pieces > 0) {
    for_utterances(call.utterances, call.lengths, nullptr, [&](const Utterances& part) {
      const dim3 grid(blocks_for(shape.channels, kChannels), static_cast<unsigned>(pieces), part.count * tap_groups);
      grad_weight_kernel<<<grid, kChannels, 0, stream_of(call.stream)>>>(part, shape, tap_groups, x, dy, partials);
      expect_launched("depthwise gradient of the weight");
    });
  }
  combine_columns(partials, 1, call.utterances * pieces, static_cast<int64_t>(shape.kernel) * shape.channels, dweight,
                  stream_of(call.stream));
}

REHEARSE_ON_DEVICE(DepthwiseForwardOnDevice, depthwise_forward);
REHEARSE_ON_DEVICE(DepthwiseGradInputOnDevice, depthwise_grad_input);
REHEARSE_ON_DEVICE(DepthwiseGradWeightOnDevice, depthwise_grad_weight);

}  // namespace
}  // namespace rehearse::cuda
