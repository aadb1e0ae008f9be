// What the CUDA plug-in (librehearse_cuda.so) hands to the binary that loads it. Both are built from this header.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "models/kernels/device_table.h"
#include "trainer/base/trace.h"
#include "trainer/comm/device_collectives.h"

namespace rehearse {

struct DeviceFacts {
  int index = 0;           // among the devices that this process may use
  std::string name;        // "NVIDIA H200"
  std::string capability;  // "9.0"
  std::string libraries;   // "CUDA 13.0, driver 13.0, NCCL 2.28.9"
  uint64_t memory_bytes = 0;
};

struct DevicePlugin {
  uint32_t abi = kDeviceAbi;
  std::span<const DeviceEntry> functions;
  // Makes the device of this rank of its host the calling thread's; CommError when there is none, or it is too old.
  DeviceFacts (*open)(int local_rank) = nullptr;
  std::unique_ptr<DeviceCollectives> (*collectives)(int device) = nullptr;
  // The spans of a profile for the device's own tools.
  TraceRanges ranges;
};

// The plug-in's only symbol.
using DevicePluginEntry = const DevicePlugin* (*)();
constexpr const char* kDevicePluginEntry = "rehearse_device_plugin";

}  // namespace rehearse
