#include "trainer/engine/update/optimizers/adamw_device.h"
#include "trainer/engine/update/optimizers/cuda/segments.cuh"

namespace rehearse::cuda {
namespace {

static_assert(sizeof(DeviceAdamWSegment) <= 24, "kMostSegments of them are a parameter");

__global__ void adamw_kernel(Segments<DeviceAdamWSegment> segments, float* parameter, const float* gradient,
                             float* average, float* square, DeviceAdamW c) {
  const DeviceAdamWSegment& segment = segments.at[blockIdx.y];
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kSegmentThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kSegmentThreads + threadIdx.x; i < segment.length; i += stride) {
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

void adamw(float* parameter, const float* gradient, float* average, float* square, const DeviceAdamWSegment* segments,
           int64_t num_segments, const DeviceAdamW& update, void* stream) {
  for_segments(segments, num_segments, [&](const Segments<DeviceAdamWSegment>& part, dim3 grid) {
    adamw_kernel<<<grid, kSegmentThreads, 0, stream_of(stream)>>>(part, parameter, gradient, average, square, update);
    expect_launched("adamw");
  });
}

REHEARSE_ON_DEVICE(AdamWOnDevice, adamw);

}  // namespace
}  // namespace rehearse::cuda
