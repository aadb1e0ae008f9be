// Memory on a device outside libtorch's pool, and sums over flat buffers.
#pragma once

#include <cstdint>

#include "models/kernels/device_table.h"

namespace rehearse {

// Zeroed; throws CommError.
struct AllocateOnDevice {
  static constexpr const char* kName = "allocate";
  using Signature = float*(int64_t count);
};
struct ReleaseOnDevice {
  static constexpr const char* kName = "release";
  using Signature = void(float* memory);
};
// Copies that wait.
struct DownloadOnDevice {
  static constexpr const char* kName = "download";
  using Signature = void(float* to_host, const float* from, int64_t count);
};
struct UploadOnDevice {
  static constexpr const char* kName = "upload";
  using Signature = void(float* to, const float* from_host, int64_t count);
};
// The stream that libtorch works on in this thread.
struct CurrentStreamOnDevice {
  static constexpr const char* kName = "current_stream";
  using Signature = void*();
};

inline constexpr int64_t kDeviceSumBlock = int64_t{64} * 1024;
// Σ x² of each block of kDeviceSumBlock elements at absolute offsets: partials [ceil(count / kDeviceSumBlock)].
struct SumOfSquaresOnDevice {
  static constexpr const char* kName = "sum_of_squares";
  using Signature = void(const float* values, int64_t count, double* partials, void* stream);
};

}  // namespace rehearse
