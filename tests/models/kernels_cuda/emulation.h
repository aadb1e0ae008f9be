// Runs CUDA kernels on the CPU, one thread per CUDA thread, one block after another: barriers and shuffles are real, so
// wrong indices, missing barriers and wrong arithmetic show without a GPU. tests/CMakeLists.txt rewrites the launches
// of the .cu files into emulate() and puts this header in the place of cuda_runtime.h.
#pragma once

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __launch_bounds__(threads)
#define __device__
#define __shared__ static  // blocks run one after another

using std::isfinite;
using std::isnan;
using std::max;
using std::min;

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3() = default;
  dim3(unsigned x, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
using cudaStream_t = void*;
enum cudaError_t { cudaSuccess };
enum cudaMemcpyKind { cudaMemcpyDeviceToHost, cudaMemcpyHostToDevice };

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

// What the threads of the running block share.
struct EmulatedBlock {
  std::unique_ptr<std::barrier<>> all;
  std::vector<std::unique_ptr<std::barrier<>>> warps;
  std::vector<double> slots;  // one per thread, for exchanges
  std::vector<double> shared;
};
inline EmulatedBlock emulated_block;

inline double* emulated_shared() {
  return emulated_block.shared.data();
}
inline void __syncthreads() {
  emulated_block.all->arrive_and_wait();
}
inline bool __syncthreads_or(bool value) {
  emulated_block.slots[threadIdx.x] = value;
  __syncthreads();
  const bool any =
      std::any_of(emulated_block.slots.begin(), emulated_block.slots.end(), [](double x) { return x != 0; });
  __syncthreads();
  return any;
}
// Calls read(slots of this warp) between two barriers of the warp.
template <class T, class Read>
auto exchange_in_warp(T value, const Read& read) {
  std::barrier<>& warp = *emulated_block.warps[threadIdx.x / 32];
  emulated_block.slots[threadIdx.x] = static_cast<double>(value);
  warp.arrive_and_wait();
  const auto result = read(emulated_block.slots.data() + threadIdx.x / 32 * 32);
  warp.arrive_and_wait();
  return result;
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return exchange_in_warp(value, [&](const double* slots) { return static_cast<T>(slots[threadIdx.x % 32 ^ mask]); });
}
inline bool __any_sync(unsigned, bool value) {
  return exchange_in_warp(
      value, [](const double* slots) { return std::any_of(slots, slots + 32, [](double x) { return x != 0; }); });
}

inline const char* cudaGetErrorName(cudaError_t) {
  return "";
}
inline const char* cudaGetErrorString(cudaError_t) {
  return "";
}
inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() {
  return cudaSuccess;
}
template <class T>
cudaError_t cudaMalloc(T** memory, size_t bytes) {
  *memory = static_cast<T*>(std::malloc(bytes));
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
inline cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  return cudaMemset(memory, value, bytes);
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

// kernel<<<grid, block, shared_bytes, stream>>>(arguments…) became emulate(kernel, grid, …)(arguments…).
template <class... Parameters>
auto emulate(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes = 0, cudaStream_t = nullptr) {
  return [=](const Parameters&... arguments) {
    emulated_block.all = std::make_unique<std::barrier<>>(block.x);
    emulated_block.warps.clear();
    for (unsigned first = 0; first < block.x; first += 32)
      emulated_block.warps.push_back(std::make_unique<std::barrier<>>(std::min(32u, block.x - first)));
    emulated_block.slots.assign(block.x, 0);
    emulated_block.shared.assign(shared_bytes / sizeof(double) + 1, NAN);
    std::barrier<> next_block(block.x);
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < block.x; ++t)
      threads.emplace_back([&, t] {
        threadIdx = dim3(t);
        blockDim = block;
        gridDim = grid;
        for (unsigned i = 0; i < grid.x * grid.y * grid.z; ++i) {
          blockIdx = dim3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y);
          kernel(arguments...);
          next_block.arrive_and_wait();
        }
      });
  };
}
