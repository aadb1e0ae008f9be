// Sums over the flat arena, and the memory of optimizer state.
#include "models/kernels/cuda/launch.cuh"
#include "models/kernels/device_memory.h"

namespace rehearse::cuda {
namespace {

constexpr int kSumThreads = 512;

// One block of threads per block of elements: strided sums per thread, then a tree.
__global__ void sum_of_squares_kernel(const float* values, int64_t count, double* partials) {
  __shared__ double sums[kSumThreads];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kDeviceSumBlock;
  const int64_t end = min(begin + kDeviceSumBlock, count);
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

void sum_of_squares(const float* values, int64_t count, double* partials, void* stream) {
  if (count == 0) return;
  sum_of_squares_kernel<<<blocks_for(count, kDeviceSumBlock), kSumThreads, 0, stream_of(stream)>>>(values, count,
                                                                                                   partials);
  expect_launched("sum of squares");
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

REHEARSE_ON_DEVICE(SumOfSquaresOnDevice, sum_of_squares);
REHEARSE_ON_DEVICE(AllocateOnDevice, allocate);
REHEARSE_ON_DEVICE(ReleaseOnDevice, release);
REHEARSE_ON_DEVICE(DownloadOnDevice, download);
REHEARSE_ON_DEVICE(UploadOnDevice, upload);

}  // namespace
}  // namespace rehearse::cuda
