#include "trainer/engine/update/outlier_guard.h"

#include <gtest/gtest.h>

#include <cmath>

#include "trainer/base/random.h"

namespace rehearse {
namespace {

OutlierGuard::Options strict() {
  return {.z_score = 5, .window = 50};
}

// A loss around 3 and a norm around 1 with 10 % of noise.
struct Noise {
  RandomKey key{4};
  uint64_t at = 0;
  double next(double level) { return level * std::exp(0.1 * key.normal(at++)); }
};

TEST(OutlierGuard, OrdinaryNoiseIsNeverLeftOut) {
  OutlierGuard guard(strict());
  Noise noise;
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(guard.judge(noise.next(3), noise.next(1)), "") << i;
}

TEST(OutlierGuard, ABurstIsLeftOutAndSaysWhichFigureItWas) {
  OutlierGuard guard(strict());
  Noise noise;
  for (int i = 0; i < 100; ++i) guard.judge(noise.next(3), noise.next(1));
  EXPECT_NE(guard.judge(noise.next(3), 50).find("gradient norm 50 is"), std::string::npos);
  EXPECT_NE(guard.judge(60, noise.next(1)).find("loss 60 is"), std::string::npos);
  EXPECT_EQ(guard.judge(noise.next(3), noise.next(1)), "") << "what was left out is not remembered";
}

TEST(OutlierGuard, NothingIsLeftOutBeforeHalfAWindowOrWhenItIsOff) {
  OutlierGuard early(strict());
  for (int i = 0; i < 10; ++i) early.judge(3, 1);
  EXPECT_EQ(early.judge(3, 1000), "");
  OutlierGuard off({});
  for (int i = 0; i < 500; ++i) off.judge(3, 1);
  EXPECT_EQ(off.judge(3, 1e9), "");
}

TEST(OutlierGuard, ANewLevelIsAcceptedAfterSomePatience) {
  OutlierGuard guard(strict());
  Noise noise;
  for (int i = 0; i < 200; ++i) guard.judge(noise.next(3), noise.next(1));
  int left_out = 0;
  for (int i = 0; i < 100; ++i) left_out += guard.judge(noise.next(3), noise.next(20)).empty() ? 0 : 1;
  EXPECT_EQ(left_out, OutlierGuard::kPatience);
}

TEST(OutlierGuard, SmallerThanUsualIsNoOutlier) {
  OutlierGuard guard(strict());
  Noise noise;
  for (int i = 0; i < 100; ++i) guard.judge(noise.next(3), noise.next(1));
  EXPECT_EQ(guard.judge(0.01, 0.001), "");
}

TEST(OutlierGuard, SavedAndLoadedItJudgesTheSame) {
  OutlierGuard one(strict()), other(strict());
  Noise noise;
  for (int i = 0; i < 100; ++i) one.judge(noise.next(3), noise.next(1));
  other.load(one.save());
  for (int i = 0; i < 100; ++i) {
    const double loss = noise.next(3), norm = noise.next(i % 9 == 0 ? 30 : 1);
    EXPECT_EQ(one.judge(loss, norm), other.judge(loss, norm)) << i;
  }
  EXPECT_EQ(one.save(), other.save());
}

}  // namespace
}  // namespace rehearse
