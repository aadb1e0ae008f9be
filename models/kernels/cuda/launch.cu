#include "models/kernels/cuda/launch.cuh"
#include "models/kernels/device_table.h"
#include "trainer/base/error.h"

namespace rehearse {

// Files register before main, in any order.
std::vector<DeviceEntry>& device_entries() {
  static std::vector<DeviceEntry> entries;
  return entries;
}

}  // namespace rehearse

namespace rehearse::cuda {
namespace {

__global__ void combine_kernel(const float* partials, int64_t pieces, int64_t width, float* out) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= width) return;
  const float* from = partials + blockIdx.y * pieces * width + c;
  float sum = 0;
  for (int64_t i = 0; i < pieces; ++i) sum += from[i * width];
  out[blockIdx.y * width + c] = sum;
}

}  // namespace

void expect_success(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  throw CommError("cuda: ", what, ": expected it to succeed; found ", cudaGetErrorName(code), " (",
                  cudaGetErrorString(code), ")");
}

void expect_launched(const char* kernel) {
  expect_success(cudaGetLastError(), kernel);
}

void combine_columns(const float* partials, int64_t groups, int64_t pieces, int64_t width, float* out,
                     cudaStream_t stream) {
  if (groups == 0 || width == 0) return;
  const dim3 grid(blocks_for(width, 64), static_cast<unsigned>(groups));
  combine_kernel<<<grid, 64, 0, stream>>>(partials, pieces, width, out);
  expect_launched("combine_columns");
}

}  // namespace rehearse::cuda
