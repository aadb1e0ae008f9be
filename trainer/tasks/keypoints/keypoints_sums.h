// Places of this task's sums, as its terms name them and its results fill them.
#pragma once

#include <cstddef>

namespace rehearse::keypoints {

// Of the pictures of an update that were learned from (TaskSums).
enum UpdateSum : size_t { kErrors, kPictures, kPointsWithin10, kPoints, kNumUpdateSums };

// Of one scored picture (ExampleScore::sums).
enum ScoreSum : size_t {
  kScoreError,
  kScorePictures,
  kScoreSquares,
  kScoreCoordinates,
  kScoreWithin5,
  kScoreWithin10,
  kScorePoints,
  kNumScoreSums
};

}  // namespace rehearse::keypoints
