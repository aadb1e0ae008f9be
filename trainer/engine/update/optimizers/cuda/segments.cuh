// Segments of the flat buffers in one launch.
#pragma once

#include "models/kernels/cuda/launch.cuh"

namespace rehearse::cuda {

constexpr int kSegmentThreads = 256;
constexpr int kMostSegmentBlocks = 1024;  // per segment
constexpr int kMostSegments = 96;         // of one launch

// Segments travel as a parameter, as utterances do.
template <class Segment>
struct Segments {
  Segment at[kMostSegments];
};
static_assert(kMostSegments * 24 < 3072, "leaves room for the other parameters");

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
    const auto blocks = std::min<int64_t>(kMostSegmentBlocks, (longest + kSegmentThreads - 1) / kSegmentThreads);
    launch(part, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(size)));
  }
}

}  // namespace rehearse::cuda
