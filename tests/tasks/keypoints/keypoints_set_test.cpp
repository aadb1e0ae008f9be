#include "trainer/tasks/keypoints/keypoints_set.h"

#include <cmath>

#include "tests/tasks/keypoints/keypoints_support.h"

namespace rehearse::keypoints {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

std::unique_ptr<FaceBatch> batch_of(std::unique_ptr<Batch> batch) {
  return std::unique_ptr<FaceBatch>(dynamic_cast<FaceBatch*>(batch.release()));
}
std::unique_ptr<FaceBatch> loaded(const KeypointsSet& set, const MicroBatch& plan) {
  return batch_of(set.load(plan, {}));
}

TEST(KeypointsSet, DescribesItsPictures) {
  const images::FaceRecords records = small_records(7);
  const KeypointsSet set(records, {}, 1);
  EXPECT_EQ(set.dataset.ids, records.id);
  EXPECT_THAT(set.dataset.domains, ElementsAre("bright", "dark"));
  EXPECT_THAT(set.dataset.domain, ElementsAre(0, 0, 0, 0, 1, 1, 1));
  EXPECT_THAT(set.dataset.cost, Each(1.0f));
  EXPECT_EQ(set.dataset.total_cost, 7);
  EXPECT_EQ(set.dataset.name_of(5), records.source[5]);
}

TEST(KeypointsSet, LeavesOutPicturesWithoutAKnownPointAndDomainsWithoutPictures) {
  images::FaceRecord pointless = small_record(1, "bright");
  pointless.points.assign(6, kMissing);
  const KeypointsSet set(records_of({pointless, small_record(2, "dark"), small_record(3, "dark")}), {}, 1);
  EXPECT_EQ(set.dataset.size(), 2u);
  EXPECT_THAT(set.dataset.domains, ElementsAre("dark"));
  EXPECT_THAT(set.dataset.domain, ElementsAre(0, 0));
  ASSERT_EQ(set.dataset.rejections.size(), 1u);
  EXPECT_EQ(set.dataset.rejections[0].name, "picture 1");
  EXPECT_EQ(set.dataset.rejections[0].domain, "bright");
  EXPECT_EQ(set.dataset.rejections[0].reason, "no known point");
}

TEST(KeypointsSet, HashKnowsPixelsPointsAndDomains) {
  const std::string before = KeypointsSet(small_records(5), {}, 1).dataset.hash();
  EXPECT_EQ(before.size(), 64u);
  EXPECT_EQ(KeypointsSet(small_records(5), {}, 2).dataset.hash(), before);
  images::FaceRecords other = small_records(5);
  other.pixels[7] ^= 1;
  EXPECT_NE(content_hash(other), before);
  other = small_records(5);
  other.points[4] += 0.5f;
  EXPECT_NE(content_hash(other), before);
  other = small_records(5);
  other.domains[1] = "night";
  EXPECT_NE(content_hash(other), before);
  other = small_records(5);
  other.source[0] = "another name";
  EXPECT_EQ(content_hash(other), before);
}

TEST(KeypointsSet, HashSeesOneMissingInAllNaNs) {
  images::FaceRecords one = small_records(2), other = one;
  one.points[0] = one.points[1] = std::nanf("1");
  other.points[0] = other.points[1] = -std::nanf("2");
  EXPECT_EQ(content_hash(one), content_hash(other));
}

TEST(KeypointsSet, PlainBatchesHoldPicturesAsTheyAre) {
  images::FaceRecord record = small_record(4, "dark");
  record.points[4] = record.points[5] = kMissing;
  const images::FaceRecords records = records_of({record});
  const KeypointsSet set(records, {}, 1);
  const auto batch = batch_of(set.load_plain(draws_of({0, 0}), {}));
  ASSERT_EQ(batch->x.size(), 2 * 48u);
  for (size_t i = 0; i < 48; ++i) EXPECT_FLOAT_EQ(batch->x[48 + i], static_cast<float>(record.pixels[i]) / 255);
  const std::vector<float> row(batch->targets.begin() + 6, batch->targets.end());
  EXPECT_THAT(row, ElementsAre(0.5f, -1.0f / 3, -0.5f, -1.0f / 3, 0, 0));
  EXPECT_THAT(std::vector<float>(batch->known.begin(), batch->known.begin() + 6), ElementsAre(1, 1, 1, 1, 0, 0));
  EXPECT_THAT(batch->eye_distance_px, ElementsAre(4, 4));
  EXPECT_THAT(batch->weights, ElementsAre(1, 1));
  EXPECT_THAT(batch->failures, ElementsAre("", ""));
  EXPECT_THAT(batch->ids, ElementsAre(records.id[0], records.id[0]));
  EXPECT_EQ(batch->size_text(), "2 pictures of 8 x 6");
}

TEST(KeypointsSet, AugmentedBatchesAreAFunctionOfSeedPictureAndVisitAlone) {
  const KeypointsSet set(small_records(6), {}, 5), same(small_records(6), {}, 5), other(small_records(6), {}, 6);
  const auto one = loaded(set, draws_of({3, 1}, 2));
  const auto mates = loaded(same, draws_of({5, 3, 0, 1}, 2));
  const auto row = [](const std::vector<float>& all, size_t n, size_t size) {
    const auto start = all.begin() + static_cast<std::ptrdiff_t>(n * size);
    return std::vector<float>(start, start + static_cast<std::ptrdiff_t>(size));
  };
  EXPECT_EQ(row(one->x, 0, 48), row(mates->x, 1, 48));
  EXPECT_EQ(row(one->targets, 0, 6), row(mates->targets, 1, 6));
  EXPECT_EQ(row(one->x, 1, 48), row(mates->x, 3, 48));
  EXPECT_NE(one->x, loaded(set, draws_of({3, 1}, 3))->x);
  EXPECT_NE(one->x, loaded(other, draws_of({3, 1}, 2))->x);
}

TEST(KeypointsSet, ChangesKeepTheDistanceOfTheEyesEvenWhereOneLeavesThePicture) {
  images::FaceAugmentOptions far;
  far.max_shift_px = 100;
  const KeypointsSet set(small_records(3), far, 5);
  const auto batch = loaded(set, draws_of({0, 1, 2}));
  EXPECT_THAT(batch->eye_distance_px, Each(4.0));
}

TEST(KeypointsSet, ProbesHaveNoWeight) {
  const KeypointsSet set(small_records(3), {}, 5);
  MicroBatch plan = draws_of({0, 1});
  plan.draws[1].is_learned = false;
  EXPECT_THAT(loaded(set, plan)->weights, ElementsAre(1, 0));
}

TEST(KeypointsSet, AStoppedLoadEndsEarly) {
  const KeypointsSet set(small_records(3), {}, 5);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(batch_of(set.load(draws_of({0, 1}), stop.get_token()))->ids.size(), 0u);
}

}  // namespace
}  // namespace rehearse::keypoints
