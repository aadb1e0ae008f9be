#include "models/kernels/ctc/ctc_length.h"

#include <gtest/gtest.h>

#include <vector>

namespace rehearse {
namespace {

TEST(CtcFramesNeeded, CountTokensAndAdjacentRepeats) {
  EXPECT_EQ(ctc_frames_needed({}), 0);
  EXPECT_EQ(ctc_frames_needed(std::vector<int32_t>{1, 1, 1, 2, 2}), 8);
}

// A frame every hop and one at the start, then a convolution with centred padding.
TEST(CtcFramesThere, AreThoseOfAStridedEncoder) {
  EXPECT_EQ(ctc_frames_there(1.0, 0.01, 1), 101);
  EXPECT_EQ(ctc_frames_there(1.0, 0.01, 4), 26);
  EXPECT_EQ(ctc_frames_there(0.07, 0.01, 8), 1);
  EXPECT_EQ(ctc_frames_there(0.08, 0.01, 8), 2);
  EXPECT_EQ(ctc_frames_there(0.3, 0.1, 1), 4) << "0.3 / 0.1 is less than 3 in binary";
}

}  // namespace
}  // namespace rehearse
