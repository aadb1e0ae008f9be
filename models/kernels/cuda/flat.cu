// The update over the flat arena: norm, AdamW, SGD, and the memory of optimizer state.
#include "models/kernels/cuda/kernels.h"
#include "models/kernels/cuda/launch.cuh"

namespace rehearse::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSumThreads = 512;
constexpr int kMostBlocks = 1024;  // per segment
constexpr int kMostSegments = 96;  // of one launch

// One block of threads per block of elements: strided sums per thread, then a tree.
__global__ void sum_of_squares_kernel(const float* values, int64_t count, double* partials) {
  __shared__ double sums[kSumThreads];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * DeviceKernels::kSumBlock;
  const int64_t end = min(begin + DeviceKernels::kSumBlock, count);
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kSumThreads) {
    const double value = values[i];
    sum += value * value;
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned width = kSumThreads / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) sums[threadIdx.x] += sums[threadIdx.x + width];
    __syncthreads();
  }
  if (threadIdx.x == 0) partials[blockIdx.x] = sums[0];
}

// Segments travel as a parameter, as utterances do.
template <class Segment>
struct Segments {
  Segment at[kMostSegments];
};
static_assert(sizeof(Segments<DeviceAdamWSegment>) < 3072, "leaves room for the other parameters");

__global__ void adamw_kernel(Segments<DeviceAdamWSegment> segments, float* parameter, const float* gradient,
                             float* average, float* square, DeviceAdamW c) {
  const DeviceAdamWSegment& segment = segments.at[blockIdx.y];
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < segment.length; i += stride) {
    const int64_t at = segment.offset + i;
    const float g = gradient[at] * c.gradient_scale;
    const float m = c.beta1 * average[at] + (1 - c.beta1) * g;
    const float v = c.beta2 * square[at] + (1 - c.beta2) * g * g;
    const float denominator = sqrtf(v) * c.inverse_root_correction2 + c.eps;
    average[at] = m;
    square[at] = v;
    parameter[at] = parameter[at] * segment.decay_factor - segment.step_size * m / denominator;
  }
}

__global__ void sgd_kernel(Segments<DeviceSgdSegment> segments, float* parameter, const float* gradient,
                           float* velocity, DeviceSgd c) {
  const DeviceSgdSegment& segment = segments.at[blockIdx.y];
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < segment.length; i += stride) {
    const int64_t at = segment.offset + i;
    const float g = gradient[at] * c.gradient_scale + segment.decay * parameter[at];
    const float v = c.momentum * velocity[at] + g;
    velocity[at] = v;
    parameter[at] -= segment.lr * (c.is_nesterov ? g + c.momentum * v : v);
  }
}

// Calls launch(part, grid) for as many parts as there are.
template <class Segment, class Launch>
void for_segments(const Segment* segments, int64_t count, const Launch& launch) {
  for (int64_t first = 0; first < count; first += kMostSegments) {
    Segments<Segment> part = {};
    const int64_t size = std::min<int64_t>(kMostSegments, count - first);
    int64_t longest = 1;
    for (int64_t i = 0; i < size; ++i) {
      part.at[i] = segments[first + i];
      longest = std::max(longest, part.at[i].length);
    }
    const auto blocks = std::min<int64_t>(kMostBlocks, (longest + kThreads - 1) / kThreads);
    launch(part, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(size)));
  }
}

}  // namespace

void sum_of_squares(const float* values, int64_t count, double* partials, void* stream) {
  if (count == 0) return;
  sum_of_squares_kernel<<<blocks_for(count, DeviceKernels::kSumBlock), kSumThreads, 0, stream_of(stream)>>>(
      values, count, partials);
  expect_launched("sum of squares");
}

void adamw(float* parameter, const float* gradient, float* average, float* square, const DeviceAdamWSegment* segments,
           int64_t num_segments, const DeviceAdamW& update, void* stream) {
  for_segments(segments, num_segments, [&](const Segments<DeviceAdamWSegment>& part, dim3 grid) {
    adamw_kernel<<<grid, kThreads, 0, stream_of(stream)>>>(part, parameter, gradient, average, square, update);
    expect_launched("adamw");
  });
}

void sgd(float* parameter, const float* gradient, float* velocity, const DeviceSgdSegment* segments,
         int64_t num_segments, const DeviceSgd& update, void* stream) {
  for_segments(segments, num_segments, [&](const Segments<DeviceSgdSegment>& part, dim3 grid) {
    sgd_kernel<<<grid, kThreads, 0, stream_of(stream)>>>(part, parameter, gradient, velocity, update);
    expect_launched("sgd");
  });
}

float* allocate(int64_t count) {
  float* memory = nullptr;
  expect_success(cudaMalloc(&memory, count * sizeof(float)), "memory for optimizer state");
  expect_success(cudaMemset(memory, 0, count * sizeof(float)), "clearing optimizer state");
  return memory;
}

void release(float* memory) {
  cudaFree(memory);
}

void download(float* to_host, const float* from, int64_t count) {
  // Work of any stream may still write there.
  expect_success(cudaDeviceSynchronize(), "waiting for the device");
  expect_success(cudaMemcpy(to_host, from, count * sizeof(float), cudaMemcpyDeviceToHost), "copying to the host");
}

void upload(float* to, const float* from_host, int64_t count) {
  expect_success(cudaMemcpy(to, from_host, count * sizeof(float), cudaMemcpyHostToDevice), "copying to the device");
}

}  // namespace rehearse::cuda
