// What the kernels share: launch checks, the utterances of a launch as a kernel parameter, sums in a fixed order.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "models/kernels/frame_ops.h"

namespace rehearse::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Throws CommError when the launch just made was refused.
void expect_launched(const char* kernel);
// Throws CommError with the runtime's own words.
void expect_success(cudaError_t code, const char* what);

// Utterances [first, first + count) of a batch travel as a parameter: no upload, nothing to keep alive. A parameter may
// have 4 KiB on every architecture.
struct Utterances {
  static constexpr int kMost = 240;
  int first = 0;
  int count = 0;
  uint32_t threshold = 0;
  float scale = 1;
  int32_t length[kMost];
  uint64_t key[kMost];
};
static_assert(sizeof(Utterances) < 3072, "leaves room for the other parameters");

// Calls launch(utterances) for as many parts as the batch needs.
template <class Launch>
void for_utterances(int64_t count, const int64_t* lengths, const Dropout* dropout, const Launch& launch) {
  for (int64_t first = 0; first < count; first += Utterances::kMost) {
    Utterances part;
    part.first = static_cast<int>(first);
    part.count = static_cast<int>(std::min<int64_t>(Utterances::kMost, count - first));
    if (dropout) {
      part.threshold = dropout[0].threshold;
      part.scale = static_cast<float>(dropout[0].scale);
    }
    for (int i = 0; i < part.count; ++i) {
      part.length[i] = static_cast<int32_t>(lengths[first + i]);
      part.key[i] = dropout ? dropout[first + i].key : 0;
    }
    launch(part);
  }
}

inline cudaStream_t stream_of(void* stream) {
  return static_cast<cudaStream_t>(stream);
}

inline unsigned blocks_for(int64_t count, int64_t each) {
  return static_cast<unsigned>((count + each - 1) / each);
}

// Butterfly: every lane gets the sum, added in the same order always.
template <class T>
__device__ inline T warp_sum(T value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

__device__ inline float warp_max(float value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

// out[g][c] = Σ_i partials[g][i][c], i ascending; width columns, `pieces` partials per group.
void combine_columns(const float* partials, int64_t groups, int64_t pieces, int64_t width, float* out,
                     cudaStream_t stream);

}  // namespace rehearse::cuda
