#include "trainer/tasks/keypoints/point_figures.h"

#include <cmath>

#include "tests/tasks/keypoints/keypoints_support.h"
#include "trainer/tasks/keypoints/face_drawing.h"

namespace rehearse::keypoints {
namespace {

TEST(PointFigures, PointsAreHundredthsOfPixelsAndMissingOnesNull) {
  const nlohmann::json points =
      points_json(small_layout(), std::vector<float>{1.234f, 2, kMissing, kMissing, 4.009f, 5});
  EXPECT_EQ(points.dump(), R"({"left_eye_center":[1.23,2.0],"nose_tip":[4.01,5.0],"right_eye_center":null})");
}

TEST(PointFigures, PointsComeBackFromTheirObjectAndMissingOnesAreNoNumbers) {
  const images::FaceLayout layout = small_layout();
  const std::vector<float> points =
      points_from(layout, points_json(layout, std::vector<float>{1, 2.5f, kMissing, 0, 3, 4}));
  ASSERT_EQ(points.size(), 6u);
  EXPECT_EQ(points[0], 1);
  EXPECT_EQ(points[1], 2.5f);
  EXPECT_TRUE(std::isnan(points[2]) && std::isnan(points[3]));
  EXPECT_EQ(points[5], 4);
}

TEST(PointFigures, TheTableIsTheMeanOfEachPointOverThePicturesThatKnowIt) {
  const nlohmann::json one = {{"point_errors", {{"nose_tip", 0.1}, {"left_eye_center", 0.02}}}};
  const nlohmann::json other = {{"point_errors", {{"nose_tip", 0.2}}}};
  EXPECT_EQ(point_table(small_layout(), {{"dark", {&one}}, {"turned", {&other}}}),
            "mean error of       dark  turned     all  pictures\n"
            "----------------  ------  ------  ------  --------\n"
            "left_eye_center    2.0 %       -   2.0 %         1\n"
            "right_eye_center       -       -       -         0\n"
            "nose_tip          10.0 %  20.0 %  15.0 %         2\n");
  EXPECT_EQ(point_table(small_layout(), {{"dark", {}}}), "");
}

TEST(FaceDrawing, EnlargesThePictureAndMarksItsPoints) {
  const images::Picture grey = images::Picture::blank(8, 6, 1, 100);
  const images::Picture drawn =
      drawn_points(grey, 10, std::vector<float>{6, 2, kMissing, 2}, std::vector<float>{2, 4, kMissing, kMissing});
  EXPECT_EQ(drawn.width, 80);
  EXPECT_EQ(drawn.height, 60);
  EXPECT_EQ(drawn.at(0, 0, 1), 100);
  EXPECT_GT(drawn.at(60, 20, 0), drawn.at(60, 20, 1));  // predicted: red
  EXPECT_GT(drawn.at(20, 40, 1), drawn.at(20, 40, 0));  // true: green
}

TEST(FaceDrawing, LeavesLargePicturesAsLargeAsTheyAre) {
  EXPECT_EQ(drawing_factor(96), 4);
  EXPECT_EQ(drawing_factor(4000), 1);
}

}  // namespace
}  // namespace rehearse::keypoints
