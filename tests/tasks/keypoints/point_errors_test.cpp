#include "trainer/tasks/keypoints/point_errors.h"

#include "tests/tasks/keypoints/keypoints_support.h"

namespace rehearse::keypoints {
namespace {

using ::testing::DoubleNear;
using ::testing::IsNan;

const std::vector<float> kPoints = {6, 2, 2, 2, 4, 4};

// Of pixels, as a network would say them: small_layout() is 8 x 6.
std::vector<float> scaled(std::vector<float> pixels) {
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = i % 2 == 0 ? (pixels[i] - 4) / 4 : (pixels[i] - 3) / 3;
  return pixels;
}

PointErrors errors_of(const std::vector<float>& predicted, const std::vector<float>& points) {
  return point_errors(small_layout(), predicted, points, eye_distance_px(small_layout(), points));
}

TEST(EyeDistance, IsThatBetweenTheCentresOfTheEyes) {
  EXPECT_DOUBLE_EQ(eye_distance_px(small_layout(), kPoints), 4);
  EXPECT_DOUBLE_EQ(eye_distance_px(small_layout(), std::vector<float>{6, 5, 2, 2, kMissing, kMissing}), 5);
}

TEST(EyeDistance, IsAShareOfTheWidthWhereAnEyeIsMissingOrBothAreInOnePlace) {
  EXPECT_DOUBLE_EQ(eye_distance_px(small_layout(), std::vector<float>{kMissing, kMissing, 2, 2, 4, 4}), 3);
  EXPECT_DOUBLE_EQ(eye_distance_px(small_layout(), std::vector<float>{2.1f, 2, 2, 2, 4, 4}), 3);
}

TEST(EyeDistance, IsAShareOfTheWidthWhereTheRecordsKnowNoEyes) {
  const images::FaceLayout layout = images::layout_of(8, 6, {"nose_tip"});
  EXPECT_DOUBLE_EQ(eye_distance_px(layout, std::vector<float>{1, 2}), 3);
}

TEST(PointErrors, AreNothingForThePointsThemselves) {
  const PointErrors errors = errors_of(scaled(kPoints), kPoints);
  EXPECT_THAT(errors.error, DoubleNear(0, 1e-7));
  EXPECT_THAT(errors.squares, DoubleNear(0, 1e-12));
  EXPECT_EQ(errors.num_known, 3u);
  EXPECT_EQ(errors.num_within_5, 3u);
  EXPECT_EQ(errors.num_within_10, 3u);
}

TEST(PointErrors, AreDistancesOverTheInterOcularOne) {
  // 0.1, 0.3 and 1 pixel away; the eyes are 4 apart.
  const PointErrors errors = errors_of(scaled({6.1f, 2, 2, 2.3f, 4, 5}), kPoints);
  EXPECT_THAT(errors.distances[0], DoubleNear(0.025, 1e-6));
  EXPECT_THAT(errors.distances[1], DoubleNear(0.075, 1e-6));
  EXPECT_THAT(errors.distances[2], DoubleNear(0.25, 1e-6));
  EXPECT_THAT(errors.error, DoubleNear(0.35 / 3, 1e-6));
  EXPECT_THAT(errors.squares, DoubleNear(0.1 * 0.1 / 16 + (0.3 * 0.3 + 1) / 9, 1e-6));
  EXPECT_EQ(errors.num_within_5, 1u);
  EXPECT_EQ(errors.num_within_10, 2u);
}

TEST(PointErrors, LeaveOutMissingPoints) {
  const PointErrors errors = errors_of(scaled({6, 2, 2, 2, -9, 40}), {6, 2, 2, 2, kMissing, kMissing});
  EXPECT_EQ(errors.num_known, 2u);
  EXPECT_THAT(errors.distances[2], IsNan());
  EXPECT_THAT(errors.error, DoubleNear(0, 1e-6));
  EXPECT_THAT(errors.squares, DoubleNear(0, 1e-12));
}

TEST(PointErrors, EndAtOne) {
  EXPECT_EQ(errors_of(scaled({600, 2, 2, 200, 4, 5}), kPoints).error, 1);
}

TEST(PointErrors, AreWorstWithoutAKnownPointAndForWhatIsNoNumber) {
  const std::vector<float> none(6, kMissing);
  EXPECT_EQ(errors_of(scaled(kPoints), none).error, 1);
  EXPECT_EQ(errors_of(scaled(kPoints), none).num_known, 0u);
  const PointErrors errors = errors_of({kMissing, 0, 0, 0, 0, 0}, kPoints);
  EXPECT_FALSE(errors.is_finite);
  EXPECT_EQ(errors.error, 1);
}

}  // namespace
}  // namespace rehearse::keypoints
