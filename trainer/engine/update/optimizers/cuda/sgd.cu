#include "trainer/engine/update/optimizers/cuda/segments.cuh"
#include "trainer/engine/update/optimizers/sgd_device.h"

namespace rehearse::cuda {
namespace {

static_assert(sizeof(DeviceSgdSegment) <= 24, "kMostSegments of them are a parameter");

__global__ void sgd_kernel(Segments<DeviceSgdSegment> segments, float* parameter, const float* gradient,
                           float* velocity, DeviceSgd c) {
  const DeviceSgdSegment& segment = segments.at[blockIdx.y];
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kSegmentThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kSegmentThreads + threadIdx.x; i < segment.length; i += stride) {
    const int64_t at = segment.offset + i;
    const float g = gradient[at] * c.gradient_scale + segment.decay * parameter[at];
    const float v = c.momentum * velocity[at] + g;
    velocity[at] = v;
    parameter[at] -= segment.lr * (c.is_nesterov ? g + c.momentum * v : v);
  }
}

void sgd(float* parameter, const float* gradient, float* velocity, const DeviceSgdSegment* segments,
         int64_t num_segments, const DeviceSgd& update, void* stream) {
  for_segments(segments, num_segments, [&](const Segments<DeviceSgdSegment>& part, dim3 grid) {
    sgd_kernel<<<grid, kSegmentThreads, 0, stream_of(stream)>>>(part, parameter, gradient, velocity, update);
    expect_launched("sgd");
  });
}

REHEARSE_ON_DEVICE(SgdOnDevice, sgd);

}  // namespace
}  // namespace rehearse::cuda
