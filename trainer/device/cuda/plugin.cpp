// The entry of librehearse_cuda.so.
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>

#include "models/kernels/device_memory.h"
#include "trainer/base/error.h"
#include "trainer/comm/cuda/nccl_collectives.h"
#include "trainer/device/device_plugin.h"

namespace rehearse::cuda {
namespace {

// Turing: the oldest architecture that CUDA 13 compiles for.
constexpr int kOldestMajor = 7, kOldestMinor = 5;

void expect(cudaError_t code, const char* what) {
  if (code != cudaSuccess)
    throw CommError("device: cuda: ", what, ": expected it to succeed; found ", cudaGetErrorName(code), " (",
                    cudaGetErrorString(code), "); nvidia-smi says more");
}

std::string version_text(int code) {
  return concat(code / 1000, ".", code % 1000 / 10);
}

DeviceFacts open(int local_rank) {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0)
    throw CommError("device: expected a GPU and a driver for CUDA 13; found ",
                    code == cudaSuccess ? "no device" : cudaGetErrorString(code), "; use device: cpu");
  DeviceFacts facts;
  facts.index = local_rank % count;
  expect(cudaSetDevice(facts.index), "choosing the device");
  cudaDeviceProp properties;
  expect(cudaGetDeviceProperties(&properties, facts.index), "asking for device properties");
  facts.name = properties.name;
  facts.capability = concat(properties.major, ".", properties.minor);
  facts.memory_bytes = properties.totalGlobalMem;
  if (properties.major < kOldestMajor || (properties.major == kOldestMajor && properties.minor < kOldestMinor))
    throw CommError("device: expected compute capability 7.5 (Turing) or newer; found ", facts.name, " with ",
                    facts.capability, "; use device: cpu or another GPU");
  int runtime = 0, driver = 0;
  expect(cudaRuntimeGetVersion(&runtime), "asking for the runtime's version");
  expect(cudaDriverGetVersion(&driver), "asking for the driver's version");
  facts.libraries =
      concat("CUDA ", version_text(runtime), ", driver for ", version_text(driver), ", NCCL ", nccl_version());
  return facts;
}

void* current_stream() {
  return c10::cuda::getCurrentCUDAStream().stream();
}

void begin_range(const char* name) {
  nvtxRangePushA(name);
}

void end_range() {
  nvtxRangePop();
}

std::unique_ptr<DeviceCollectives> collectives(int device) {
  return make_nccl_collectives(device, current_stream);
}

REHEARSE_ON_DEVICE(CurrentStreamOnDevice, current_stream);

}  // namespace
}  // namespace rehearse::cuda

extern "C" const rehearse::DevicePlugin* rehearse_device_plugin() {
  static const rehearse::DevicePlugin plugin = {.functions = rehearse::device_entries(),
                                                .open = rehearse::cuda::open,
                                                .collectives = rehearse::cuda::collectives,
                                                .ranges = {rehearse::cuda::begin_range, rehearse::cuda::end_range}};
  return &plugin;
}
