#include <algorithm>
#include <map>

#include "tests/tasks/keypoints/keypoints_support.h"
#include "trainer/observe/terms.h"
#include "trainer/tasks/keypoints/keypoints_sums.h"

namespace rehearse::keypoints {
namespace {

TEST(KeypointsTerms, NameWhatTheSamplerSteersBy) {
  const TaskTerms& terms = terms_of("keypoints");
  EXPECT_EQ(terms.task, "keypoints");
  EXPECT_EQ(terms.error_key, "error");
  EXPECT_EQ(terms.examples, "pictures");
  EXPECT_EQ(terms.speed_title, "pictures/s");
  ASSERT_FALSE(terms.scores.empty());
  EXPECT_EQ(terms.scores[0].key, "error");
}

TEST(KeypointsTerms, PointAtSumsThatAreThere) {
  const TaskTerms& terms = terms_of("keypoints");
  size_t in_line = 0;
  for (const RatioTerm& ratio : terms.ratios) {
    EXPECT_LT(std::max(ratio.numerator, ratio.denominator), kNumUpdateSums) << ratio.key;
    in_line += ratio.is_in_line;
  }
  EXPECT_EQ(in_line, 1u);
  EXPECT_LE(kNumUpdateSums, kMaxTaskSums);
  for (const ScoreTerm& score : terms.scores)
    EXPECT_LT(std::max(score.numerator, score.denominator), kNumScoreSums) << score.key;
  for (const CountTerm& count : terms.counts) EXPECT_LT(count.sum, kNumScoreSums) << count.key;
}

TEST(KeypointsTerms, GiveEachKeyOfAnExampleOneMeaning) {
  std::map<std::string, size_t> meaning;
  for (const ScoreTerm& score : terms_of("keypoints").scores)
    for (const auto& [key, sum] :
         {std::pair(score.numerator_key, score.numerator), std::pair(score.denominator_key, score.denominator)})
      if (!key.empty()) {
        EXPECT_EQ(meaning.emplace(key, sum).first->second, sum) << key;
      }
}

}  // namespace
}  // namespace rehearse::keypoints
