#include "data/images/face_records.h"

#include <algorithm>

#include "tests/data/images/images_support.h"

namespace rehearse::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Pair = std::array<uint32_t, 2>;

TEST(FaceLayout, KnownPointsStandInTheirOrderBeforeOthers) {
  EXPECT_THAT(in_layout_order({"zebra", "nose_tip", "chin", "left_eye_center", "nose_tip"}),
              ElementsAre("left_eye_center", "nose_tip", "chin", "zebra"));
  EXPECT_EQ(in_layout_order(kaggle_point_names()), kaggle_point_names());
}

TEST(FaceLayout, LeftAndRightChangePlacesInAMirror) {
  EXPECT_THAT(flip_pairs_of({"left_a", "mouth_right_corner", "chin", "right_a", "mouth_left_corner", "left_b"}),
              ElementsAre(Pair{0, 3}, Pair{1, 4}));
  const FaceLayout layout = layout_of(96, 96, kaggle_point_names());
  EXPECT_EQ(layout.flip_pairs.size(), 6u);  // 15 points, three of them in the middle
}

TEST(FaceRecords, AreSortedByDomainAndIdInWhateverOrderTheyCome) {
  std::string reason;
  FaceCollector forth(small_layout()), back(small_layout());
  for (uint64_t n = 0; n < 20; ++n) {
    EXPECT_TRUE(forth.add(small_record(n, n % 2 == 0 ? "b" : "a"), reason)) << reason;
    EXPECT_TRUE(back.add(small_record(19 - n, n % 2 == 1 ? "b" : "a"), reason)) << reason;
  }
  const FaceRecords one = std::move(forth).finish(), other = std::move(back).finish();
  expect_whole(one, "one");
  EXPECT_THAT(one.domains, ElementsAre("a", "b"));
  EXPECT_EQ(one.id, other.id);
  EXPECT_EQ(one.pixels, other.pixels);
  EXPECT_EQ(one.source, other.source);
  for (size_t n = 0; n < one.size(); ++n) EXPECT_EQ(one.id[n], stable_picture_id(4, 3, one.pixels_of(n)));
}

TEST(FaceRecords, TheIdIsThatOfThePicture) {
  const std::vector<uint8_t> pixels = {1, 2, 3, 4, 5, 6}, others = {1, 2, 3, 4, 5, 7};
  EXPECT_EQ(stable_picture_id(3, 2, pixels), hash_text(std::string("3\x1f") + "2\x1f\1\2\3\4\5\6"));
  EXPECT_NE(stable_picture_id(3, 2, pixels), stable_picture_id(2, 3, pixels));
  EXPECT_NE(stable_picture_id(3, 2, pixels), stable_picture_id(3, 2, others));
}

TEST(FaceRecords, APictureEntersOnce) {
  FaceCollector collector(small_layout());
  std::string reason;
  EXPECT_TRUE(collector.add(small_record(1), reason));
  FaceRecord again = small_record(1, "dark");
  again.points[0] = 2;
  EXPECT_FALSE(collector.add(again, reason));
  EXPECT_THAT(reason, HasSubstr("picture 1"));
  EXPECT_EQ(collector.size(), 1u);
}

TEST(FaceRecords, WhatBreaksARuleDoesNotEnter) {
  const auto reason = [](const auto& change) {
    FaceRecord record = small_record(1);
    change(record);
    return reason_against(small_layout(), record);
  };
  EXPECT_EQ(reason([](FaceRecord&) {}), "");
  EXPECT_EQ(reason([](FaceRecord& r) { r.points[0] = r.points[1] = kMissing; }), "");
  EXPECT_THAT(reason([](FaceRecord& r) { r.points[0] = kMissing; }), HasSubstr("or neither"));
  EXPECT_THAT(reason([](FaceRecord& r) { r.points[3] = 7; }), HasSubstr("right_eye_center"));
  EXPECT_THAT(reason([](FaceRecord& r) { r.points[3] = INFINITY; }), HasSubstr("inf"));
  EXPECT_THAT(reason([](FaceRecord& r) { r.pixels.pop_back(); }), HasSubstr("12 pixels; found 11"));
  EXPECT_THAT(reason([](FaceRecord& r) { r.domain = ""; }), HasSubstr("domain"));
  EXPECT_THAT(reason([](FaceRecord& r) { r.domain = "a\nb"; }), HasSubstr("domain"));
  EXPECT_THAT(reason([](FaceRecord& r) { r.source = "a\nb"; }), HasSubstr("source"));
}

TEST(FaceRecords, ASetThatIsNotWholeIsRefused) {
  const auto message = [](const auto& change) {
    FaceRecords records = small_records(6);
    change(records);
    return failure_of<DataError>([&] { expect_whole(records, "set"); });
  };
  EXPECT_EQ(message([](FaceRecords&) {}), "nothing thrown");
  EXPECT_THAT(message([](FaceRecords& r) { std::swap(r.id[0], r.id[1]); }), HasSubstr("sorted"));
  EXPECT_THAT(message([](FaceRecords& r) { r.domain[5] = 2; }), HasSubstr("one of 2 domains"));
  EXPECT_THAT(message([](FaceRecords& r) { r.domains[0] = "z"; }), HasSubstr("by alphabet"));
  EXPECT_THAT(message([](FaceRecords& r) { r.pixels.pop_back(); }), HasSubstr("other counts"));
  EXPECT_THAT(message([](FaceRecords& r) { r.layout.flip_pairs.push_back({0, 2}); }), HasSubstr("flip pairs"));
  EXPECT_THAT(message([](FaceRecords& r) { r.layout.point_names[1] = "left_eye_center"; }), HasSubstr("each once"));
  EXPECT_THAT(message([](FaceRecords& r) { r.layout.width = 0; }), HasSubstr("pixels a side"));
  EXPECT_THAT(message([](FaceRecords& r) { r.points[0] = 1e9f; }), HasSubstr("record 0"));
  const auto twice = [](FaceRecords& r) {
    const size_t dark = static_cast<size_t>(std::find(r.domain.begin(), r.domain.end(), 1u) - r.domain.begin());
    r.id[dark] = r.id[0] < r.id[dark + 1] ? r.id[0] : r.id[1];
  };
  EXPECT_NE(message(twice), "nothing thrown");
}

TEST(FaceRecords, ASplitKeepsEveryPictureOnItsSide) {
  const FaceRecords many = small_records(2000), few = small_records(1000);
  const FaceSplit split = split_by_id(many, 0.1), smaller = split_by_id(few, 0.1);
  expect_whole(split.train, "train");
  expect_whole(split.valid, "valid");
  EXPECT_EQ(split.train.size() + split.valid.size(), many.size());
  EXPECT_NEAR(static_cast<double>(split.valid.size()), 200, 45);  // 3.4 standard deviations
  EXPECT_EQ(split.valid.domains, many.domains);
  for (const uint64_t id : smaller.valid.id)
    EXPECT_NE(std::find(split.valid.id.begin(), split.valid.id.end(), id), split.valid.id.end());
  EXPECT_EQ(split_by_id(few, 0).valid.size(), 0u);
  EXPECT_EQ(split_by_id(few, 1).train.size(), 0u);
}

TEST(FaceRecords, PartsJoinToTheSetTheyCameFrom) {
  const FaceRecords all = small_records(50);
  const FaceSplit split = split_by_id(all, 0.4);
  const FaceRecords again = joined({split.valid, split.train}, {"valid", "train"});
  EXPECT_EQ(again.id, all.id);
  EXPECT_EQ(again.domain, all.domain);
  EXPECT_EQ(again.pixels, all.pixels);
  EXPECT_EQ(again.domains, all.domains);
}

TEST(FaceRecords, PartsThatShareAPictureOrDifferInLayoutDoNotJoin) {
  const FaceRecords all = small_records(5);
  EXPECT_THAT(failure_of<DataError>([&] {
                joined({all, all}, {"a.faces.h5", "b.faces.h5"});
              }),
              AllOf(HasSubstr("b.faces.h5"), HasSubstr("which a.faces.h5 has too")));
  FaceRecords other = small_records(0);
  other.layout.width = 5;
  EXPECT_THAT(failure_of<DataError>([&] { joined({all, other}, {"a", "b"}); }), HasSubstr("same size and points"));
}

}  // namespace
}  // namespace rehearse::images
