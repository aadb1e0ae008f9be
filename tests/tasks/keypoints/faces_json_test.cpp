#include "trainer/tasks/keypoints/faces_json.h"

#include "tests/tasks/keypoints/keypoints_support.h"

namespace rehearse::keypoints {
namespace {

using ::testing::HasSubstr;

TEST(FacesJson, ComesBackAsItWas) {
  const images::FaceLayout kaggle = images::layout_of(96, 90, images::kaggle_point_names());
  for (const images::FaceLayout& layout : {kaggle, small_layout()})
    EXPECT_EQ(layout_from(faces_json(layout), "faces.json"), layout);
}

TEST(FacesJson, IsRefusedWithPlaceAndFieldWhereItIsAnother) {
  const auto failure = [](const std::string& text) {
    return failure_of<DataError>([&] { layout_from(text, "run/faces.json"); });
  };
  const std::string points = R"("points": ["a", "b"]})";
  EXPECT_THAT(failure("no JSON"), HasSubstr("run/faces.json"));
  EXPECT_THAT(failure("[]"), HasSubstr("run/faces.json"));
  EXPECT_THAT(failure(R"({"version": 2, "width": 9, "height": 9, )" + points), HasSubstr("version"));
  EXPECT_THAT(failure(R"({"version": 1, "width": 0, "height": 9, )" + points), HasSubstr("width"));
  EXPECT_THAT(failure(R"({"version": 1, "width": 9, "height": 1e9, )" + points), HasSubstr("height"));
  EXPECT_THAT(failure(R"({"version": 1, "width": 9, "height": 9})"), HasSubstr("points"));
  EXPECT_THAT(failure(R"({"version": 1, "width": 9, "height": 9, "points": ["a", "a"]})"), HasSubstr("once"));
  EXPECT_THAT(failure(R"({"version": 1, "width": 9, "height": 9, "points": [7]})"), HasSubstr("names"));
}

TEST(FacesJson, FormsDifferInSizeOrNames) {
  const images::FaceLayout layout = small_layout();
  EXPECT_TRUE(is_same_form(layout, {8, 6, few_names(), {}}));
  EXPECT_FALSE(is_same_form(layout, {6, 8, few_names(), {}}));
  EXPECT_FALSE(is_same_form(layout, {8, 6, {"nose_tip"}, {}}));
  EXPECT_EQ(form_text(layout), "8 x 6 pixels with 3 points (left_eye_center, right_eye_center, nose_tip)");
}

}  // namespace
}  // namespace rehearse::keypoints
