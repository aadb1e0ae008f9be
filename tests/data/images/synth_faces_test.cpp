#include "data/images/synth/synth_faces.h"

#include <algorithm>
#include <numeric>

#include "data/images/face_file.h"
#include "data/images/synth/face_scene.h"
#include "tests/data/images/images_support.h"

namespace rehearse::images::synth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::NanSensitiveFloatEq;
using ::testing::Pointwise;

SynthFacesOptions options_from(const std::string& yaml) {
  Config config = Config::parse(yaml);
  ConfigNode node = config.root();
  const SynthFacesOptions options = SynthFacesOptions::from(node);
  node.expect_all_read();
  return options;
}

std::string refusal(const std::string& yaml) {
  return failure_of<ConfigError>([&] { options_from(yaml); });
}

double mean_of(const std::vector<uint8_t>& pixels) {
  return std::accumulate(pixels.begin(), pixels.end(), 0.0) / static_cast<double>(pixels.size());
}

size_t point(const std::string& name) {
  const std::vector<std::string>& names = kaggle_point_names();
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

// A face without anything drawn from a key, seen from the front.
FaceScene plain_scene() {
  FaceScene scene;
  scene.ambient = 1;
  scene.face.skin = 0.6;
  return scene;
}

TEST(SynthFacesOptions, WithoutAMapAllKnownDomainsAreDrawn) {
  const SynthFacesOptions options = options_from("{}");
  ASSERT_EQ(options.domains.size(), 3u);
  EXPECT_EQ(options.domains[0].name, "frontal");
  EXPECT_EQ(options.domains[1].name, "turned");
  EXPECT_GT(options.domains[1].yaw_deg.low, options.domains[0].yaw_deg.high);
  EXPECT_LT(options.domains[2].light_level.high, options.domains[0].light_level.low);
  EXPECT_EQ(options.domains[2].train, 2000);
}

TEST(SynthFacesOptions, ADomainOfOnesOwnStartsFromAnother) {
  SynthFacesOptions options = options_from(
      "{seed: 9, size: 48, train: 5, valid: 2, domains: {night: {like: dark, valid: 7, noise: [9, 9]}, frontal: {}}}");
  ASSERT_EQ(options.domains.size(), 2u);
  EXPECT_EQ(options.domains[0].name, "night");
  EXPECT_EQ(options.domains[0].light_level.high, options_from("{}").domains[2].light_level.high);
  EXPECT_EQ(options.domains[0].noise.low, 9);
  EXPECT_EQ(options.domains[0].train, 5);
  EXPECT_EQ(options.domains[0].valid, 7);
  options.limit_pictures(3);
  EXPECT_EQ(options.domains[0].train, 3);
  EXPECT_EQ(options.domains[0].valid, 3);
  EXPECT_EQ(options.domains[1].valid, 2);
}

TEST(SynthFacesOptions, WhatMakesNoSenseIsRefused) {
  EXPECT_THAT(refusal("{size: 5}"), HasSubstr("size"));
  EXPECT_THAT(refusal("{domains: {frontal: {yaw_deg: [9, 3]}}}"), HasSubstr("expected [lowest, highest]"));
  EXPECT_THAT(refusal("{domains: {frontal: {yaw_deg: [9]}}}"), HasSubstr("yaw_deg"));
  EXPECT_THAT(refusal("{domains: {x: {like: sideways}}}"), HasSubstr("like"));
  EXPECT_THAT(refusal("{domains: {../x: {}}}"), HasSubstr("can name a folder"));
  EXPECT_THAT(refusal("{domains: {frontal: {yaw: [1, 2]}}}"), HasSubstr("yaw_deg"));  // the nearest known key
}

TEST(Pose, APoseIsARotationAndBackAgain) {
  const Pose pose(30, -12, 7);
  const Vec vec{0.3, -1.2, 0.8}, there = pose.to_view(vec), back = pose.to_head(there);
  EXPECT_NEAR(dot(there, there), dot(vec, vec), 1e-12);
  EXPECT_NEAR(back.x, vec.x, 1e-12);
  EXPECT_NEAR(back.y, vec.y, 1e-12);
  EXPECT_NEAR(back.z, vec.z, 1e-12);
  EXPECT_GT(Pose(30, 0, 0).to_view({0, 0, 1}).x, 0);
}

TEST(FaceScene, TheSubjectsLeftIsOnTheRight) {
  const std::vector<float> points = plain_scene().points();
  ASSERT_EQ(points.size(), 30u);
  const auto x = [&](const char* name) { return points[2 * point(name)]; };
  const auto y = [&](const char* name) { return points[2 * point(name) + 1]; };
  EXPECT_GT(x("left_eye_center"), x("right_eye_center"));
  EXPECT_GT(x("left_eye_outer_corner"), x("left_eye_inner_corner"));
  EXPECT_LT(x("right_eyebrow_outer_end"), x("right_eyebrow_inner_end"));
  EXPECT_GT(x("mouth_left_corner"), x("mouth_right_corner"));
  EXPECT_LT(y("left_eyebrow_inner_end"), y("left_eye_center"));
  EXPECT_LT(y("nose_tip"), y("mouth_center_top_lip"));
  EXPECT_LT(y("mouth_center_top_lip"), y("mouth_center_bottom_lip"));
}

TEST(FaceScene, PointsLieWhereTheyAreDrawn) {
  for (const double yaw_deg : {0.0, 25.0, -25.0}) {
    FaceScene scene = plain_scene();
    scene.pose = Pose(yaw_deg, 5, -6);
    const std::vector<uint8_t> pixels = scene.pixels(RandomKey(1));
    const std::vector<float> points = scene.points();
    const auto value_at = [&](double x, double y) {
      return pixels[static_cast<size_t>(y) * 96 + static_cast<size_t>(x)];
    };
    const double skin = value_at(48, points[2 * point("nose_tip") + 1] + 9);  // between nose and mouth
    for (const char* eye : {"left_eye_center", "right_eye_center"})           // a pupil is the darkest that there is
      EXPECT_LT(value_at(points[2 * point(eye)], points[2 * point(eye) + 1]), 0.4 * skin) << eye << " " << yaw_deg;
    const double between_lips =
        0.5 * (points[2 * point("mouth_center_top_lip") + 1] + points[2 * point("mouth_center_bottom_lip") + 1]);
    const double mouth_x = points[2 * point("mouth_center_top_lip")];
    EXPECT_LT(value_at(mouth_x, between_lips + 1), 0.8 * skin) << yaw_deg;
    EXPECT_GT(value_at(mouth_x, points[2 * point("mouth_center_bottom_lip") + 1] + 3), 0.85 * skin) << yaw_deg;
    for (const char* brow : {"left_eyebrow_inner_end", "right_eyebrow_inner_end"})
      EXPECT_LT(value_at(points[2 * point(brow)], points[2 * point(brow) + 1]), 0.8 * skin) << brow << yaw_deg;
  }
}

TEST(FaceScene, TurningMovesPointsAsGeometrySays) {
  FaceScene scene = plain_scene();
  scene.pose = Pose(40, 0, 0);
  const Vec nose = scene.face.points()[point("nose_tip")];
  const double degree = std::acos(-1.0) / 180;
  EXPECT_NEAR(scene.points()[2 * point("nose_tip")],
              48 + 42 * (nose.x * std::cos(40 * degree) + nose.z * std::sin(40 * degree)), 1e-4);
  EXPECT_NEAR(scene.points()[2 * point("nose_tip") + 1], 50 + 42 * nose.y, 1e-4);
}

TEST(FaceScene, WhatStandsBeforeAPointHidesIt) {
  FaceScene scene = plain_scene();
  EXPECT_THAT(scene.hidden(), ::testing::Each(false));
  const std::vector<float> points = scene.points();
  scene.occluders.push_back({.x = points[0], .y = points[1], .half_width = 3, .half_height = 3, .grey = 1});
  EXPECT_TRUE(scene.hidden()[0]);
  EXPECT_FALSE(scene.hidden()[1]);
  EXPECT_EQ(scene.pixels(RandomKey(1))[static_cast<size_t>(points[1]) * 96 + static_cast<size_t>(points[0])], 255);
  FaceScene away = plain_scene();
  away.pose = Pose(75, 0, 0);
  EXPECT_TRUE(away.hidden()[point("left_eye_outer_corner")]);  // behind the head's own rim
  EXPECT_FALSE(away.hidden()[point("right_eye_center")]);
}

TEST(SynthFaces, AFaceIsAFunctionOfSeedDomainSetAndIndex) {
  SynthFacesOptions options = options_from("{seed: 4, size: 32}");
  const FaceDomainOptions& frontal = options.domains[0];
  const FaceRecord face = draw_face(options, frontal, FaceSet::kTrain, 3).record;
  EXPECT_EQ(face.pixels, draw_face(options, frontal, FaceSet::kTrain, 3).record.pixels);
  EXPECT_NE(face.pixels, draw_face(options, frontal, FaceSet::kTrain, 4).record.pixels);
  EXPECT_NE(face.pixels, draw_face(options, frontal, FaceSet::kValid, 3).record.pixels);
  EXPECT_NE(face.pixels, draw_face(options, options.domains[1], FaceSet::kTrain, 3).record.pixels);
  EXPECT_EQ(face.source, "frontal/train/3");
  options.seed = 5;
  EXPECT_NE(face.pixels, draw_face(options, frontal, FaceSet::kTrain, 3).record.pixels);
}

TEST(SynthFaces, MoreThreadsDrawTheSame) {
  SynthFacesOptions options = options_from("{size: 24, train: 9}");
  const FaceRecords one = draw_faces(options, options.domains[0], FaceSet::kTrain, 1);
  const FaceRecords many = draw_faces(options, options.domains[0], FaceSet::kTrain, 4);
  EXPECT_EQ(one.size(), 9u);
  EXPECT_EQ(to_face_file(one), to_face_file(many));
}

TEST(SynthFaces, DomainsDifferAsTheirNamesSay) {
  const SynthFacesOptions options = options_from("{size: 32}");
  double light[3] = {}, turn[3] = {};
  for (size_t d = 0; d < 3; ++d)
    for (uint64_t i = 0; i < 20; ++i) {
      const DrawnFace face = draw_face(options, options.domains[d], FaceSet::kTrain, i);
      light[d] += mean_of(face.record.pixels) / 20;
      const auto x = [&](const char* name) { return face.exact[2 * point(name)]; };
      const double middle = 0.5 * (x("left_eye_outer_corner") + x("right_eye_outer_corner"));
      turn[d] += std::abs(x("nose_tip") - middle) / 20;
    }
  EXPECT_LT(light[2], 0.6 * light[0]);
  EXPECT_GT(turn[1], 2 * turn[0]);
}

TEST(SynthFaces, HiddenPointsAreMissingAsOftenAsAsked) {
  SynthFacesOptions options = options_from("{size: 24, hidden_missing: 1, domains: {frontal: {occlusion: 1}}}");
  size_t hidden = 0;
  for (const double share : {0.0, 1.0}) {
    options.hidden_missing = share;
    for (uint64_t i = 0; i < 10; ++i) {
      const DrawnFace face = draw_face(options, options.domains[0], FaceSet::kTrain, i);
      for (size_t p = 0; p < 15; ++p) {
        hidden += face.hidden[p] ? 1 : 0;
        EXPECT_EQ(std::isnan(face.record.points[2 * p]), face.hidden[p] && share == 1);
        if (!std::isnan(face.record.points[2 * p])) {
          EXPECT_EQ(face.record.points[2 * p], face.exact[2 * p]);
        }
      }
    }
  }
  EXPECT_GT(hidden, 20u);
}

TEST(SynthFaces, AFilePerDomainAndSetIsWritten) {
  const TemporaryFolder folder;
  FileLayer files;
  const SynthFacesOptions options =
      options_from("{size: 24, train: 4, valid: 2, domains: {frontal: {}, dark: {valid: 0}}}");
  size_t calls = 0;
  const SynthFacesReport report =
      write_synth_faces(options, folder.path() / "out", 2, files, [&](const fs::path&, size_t) { ++calls; });
  EXPECT_EQ(calls, 3u);
  EXPECT_EQ(report.pictures.at("frontal").at("valid"), 2u);
  const FaceRecords train =
      read_faces(std::vector<fs::path>{folder / "out/frontal/train.faces.h5", folder / "out/dark/train.faces.h5"});
  EXPECT_THAT(train.domains, ElementsAre("dark", "frontal"));
  EXPECT_EQ(train.size(), 8u);
  EXPECT_EQ(train.layout.point_names, kaggle_point_names());
  EXPECT_FALSE(fs::exists(folder / "out/dark/valid.faces.h5"));
}

TEST(SynthFaces, FacesThatCannotBeToldApartAreRefused) {
  const SynthFacesOptions options =
      options_from("{size: 24, domains: {white: {train: 3, light_level: [3, 3], noise: [0, 0], occlusion: 0}}}");
  FaceDomainOptions same = options.domains[0];
  same.light_level = {0, 0};
  EXPECT_THAT(failure_of<ConfigError>([&] { draw_faces(options, same, FaceSet::kTrain, 1); }),
              HasSubstr("white/train/1: expected each picture once"));
}

}  // namespace
}  // namespace rehearse::images::synth
