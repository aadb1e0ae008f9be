// Sums over frames on a device have fixed pieces, so that equal shapes give equal bits.
#pragma once

#include <cstdint>

namespace rehearse {

// Frames that one partial sum covers, and how many of them an utterance needs.
inline constexpr int64_t kPieceFrames = 32;
constexpr int64_t pieces_of(int64_t frames) {
  return (frames + kPieceFrames - 1) / kPieceFrames;
}

}  // namespace rehearse
