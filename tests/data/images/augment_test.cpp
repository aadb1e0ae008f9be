#include "data/images/augment.h"

#include <set>

#include "data/images/scaling.h"
#include "tests/data/images/images_support.h"

namespace rehearse::images {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::NanSensitiveFloatEq;
using ::testing::Pointwise;

FaceRecord changed(const FaceAugmentOptions& options, uint64_t number, FaceRecord record = small_record(1)) {
  augment_face(small_layout(), options, RandomKey(number), record.pixels, record.points);
  return record;
}

TEST(Scaling, PixelsGoFromZeroToOne) {
  const std::vector<uint8_t> pixels = {0, 51, 255};
  std::vector<float> scaled(3);
  scale_pixels(pixels, scaled);
  EXPECT_THAT(scaled, ElementsAre(0, 0.2f, 1));
}

TEST(Scaling, PointsGoFromMinusOneToOneAndMissingOnesWeighNothing) {
  const FaceLayout layout = layout_of(96, 64, {"a", "b", "c"});
  const std::vector<float> points = {0, 64, kMissing, kMissing, 72, 32};
  std::vector<float> targets(6), weights(3), again(6);
  scale_points(layout, points, targets, weights);
  EXPECT_THAT(targets, ElementsAre(-1, 1, 0, 0, 0.5f, 0));  // (72 - 48) / 48
  EXPECT_THAT(weights, ElementsAre(1, 0, 1));
  unscale_points(layout, targets, again);
  EXPECT_THAT(again, ElementsAre(0, 64, 48, 32, 72, 32));
}

TEST(Mirror, LeftBecomesRight) {
  FaceRecord record = small_record(1);
  record.points = {3, 1, 0.5f, 2, kMissing, kMissing};
  const FaceRecord before = record;
  mirror_face(small_layout(), record.pixels, record.points);
  for (size_t y = 0; y < 3; ++y)
    for (size_t x = 0; x < 4; ++x) EXPECT_EQ(record.pixels[4 * y + x], before.pixels[4 * y + 3 - x]);
  EXPECT_THAT(record.points, Pointwise(NanSensitiveFloatEq(), {3.5f, 2.0f, 1.0f, 1.0f, kMissing, kMissing}));
}

TEST(Mirror, TwiceIsNothing) {
  const FaceRecord before = small_record(2);
  FaceRecord record = before;
  record.points[0] = 1.1f;
  for (int i = 0; i < 2; ++i) mirror_face(small_layout(), record.pixels, record.points);
  EXPECT_EQ(record.pixels, before.pixels);
  EXPECT_NEAR(record.points[0], 1.1f, 1e-6f);
  EXPECT_EQ(record.points[1], before.points[1]);
}

TEST(Mirror, ScaledPointsChangeSign) {
  const FaceLayout layout = layout_of(96, 96, {"nose_tip"});
  std::vector<uint8_t> pixels(layout.num_pixels());
  std::vector<float> points = {60, 50}, before(2), after(2), weights(1);
  scale_points(layout, points, before, weights);
  mirror_face(layout, pixels, points);
  scale_points(layout, points, after, weights);
  EXPECT_FLOAT_EQ(after[0], -before[0]);
}

TEST(Shift, PointsMoveWithTheirPixelsAndLeaveThePictureAsMissing) {
  FaceRecord record = small_record(1);  // points (3, 1), (1, 1), (2, 2) of 4 x 3 pixels
  const FaceRecord before = record;
  shift_face(small_layout(), 2, -1, record.pixels, record.points);
  EXPECT_THAT(record.points, Pointwise(NanSensitiveFloatEq(), {kMissing, kMissing, 3.0f, 0.0f, 4.0f, 1.0f}));
  EXPECT_EQ(record.pixels[2], before.pixels[4]);                  // (0, 1) went to (2, 0)
  EXPECT_EQ(record.pixels[0], before.pixels[4]);                  // its row's edge repeats
  EXPECT_EQ(record.pixels[4 * 2 + 3], before.pixels[4 * 2 + 1]);  // the last row repeats
}

TEST(Light, ContrastTurnsAboutTheMiddle) {
  std::vector<uint8_t> pixels = {0, 100, 127, 128, 200, 255};
  relight(pixels, 0.5, 0);
  EXPECT_THAT(pixels, ElementsAre(64, 114, 127, 128, 164, 191));
  relight(pixels, 1, 1);
  EXPECT_THAT(pixels, Each(255));
}

TEST(Augment, IsAFunctionOfItsKey) {
  const FaceAugmentOptions options;
  std::set<std::vector<uint8_t>> different;
  for (uint64_t number = 0; number < 50; ++number) {
    const FaceRecord one = changed(options, number), other = changed(options, number);
    EXPECT_EQ(one.pixels, other.pixels);
    EXPECT_THAT(one.points, Pointwise(NanSensitiveFloatEq(), other.points));
    different.insert(one.pixels);
  }
  EXPECT_GT(different.size(), 25u);  // a shift by the whole width leaves one colour
}

TEST(Augment, NothingAskedForIsNothingDone) {
  const FaceAugmentOptions nothing{.mirror_probability = 0, .max_shift_px = 0, .max_contrast = 0, .max_brightness = 0};
  EXPECT_EQ(changed(nothing, 7).pixels, small_record(1).pixels);
  EXPECT_EQ(changed(nothing, 7).points, small_record(1).points);
}

TEST(Augment, ShiftsReachBothEndsAndNoFurther) {
  const FaceAugmentOptions options{.mirror_probability = 0, .max_shift_px = 1, .max_contrast = 0, .max_brightness = 0};
  std::set<float> places;
  for (uint64_t number = 0; number < 200; ++number) places.insert(changed(options, number).points[2]);
  EXPECT_THAT(places, ElementsAre(0, 1, 2));
}

TEST(Augment, MirrorsAboutAsOftenAsAsked) {
  const FaceAugmentOptions options{
      .mirror_probability = 0.25, .max_shift_px = 0, .max_contrast = 0, .max_brightness = 0};
  int mirrored = 0;
  for (uint64_t number = 0; number < 1000; ++number)
    mirrored += changed(options, number).pixels != small_record(1).pixels ? 1 : 0;
  EXPECT_NEAR(mirrored, 250, 50);
}

TEST(Augment, OptionsAreReadAndRanged) {
  Config config = Config::parse("{mirror_probability: 0.3, max_shift_px: 2, max_contrast: 0.1, max_brightness: 0.05}");
  ConfigNode node = config.root();
  const FaceAugmentOptions options = FaceAugmentOptions::from(node);
  node.expect_all_read();
  EXPECT_EQ(options.max_shift_px, 2);
  EXPECT_EQ(options.mirror_probability, 0.3);
  Config wrong = Config::parse("{max_shift_px: -1}");
  ConfigNode bad = wrong.root();
  EXPECT_THAT(failure_of<ConfigError>([&] { FaceAugmentOptions::from(bad); }), HasSubstr("max_shift_px"));
}

}  // namespace
}  // namespace rehearse::images
