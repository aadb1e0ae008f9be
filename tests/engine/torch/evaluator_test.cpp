#include "trainer/engine/evaluate/evaluator.h"

#include <gtest/gtest.h>

namespace rehearse {
namespace {

TEST(ScoresByDomain, TheLossIsPerUnitOfWhatHasOne) {
  Dataset dataset;
  dataset.ids = {1, 2, 3};
  dataset.domain = {1, 1, 1};
  dataset.cost = {1, 1, 1.5};
  dataset.domains = {"empty", "d"};
  std::vector<ExampleScore> scores(3);
  for (uint32_t i = 0; i < 3; ++i) {
    scores[i].example = i;
    scores[i].sums = {1.0 * i, 2};
    scores[i].loss_units = 1 + i;
  }
  scores[0].loss = 6;
  scores[1].loss = 4;  // the third could not be loaded, or taught nothing: no loss
  scores[2].failure = "gone";
  const std::vector<DomainScore> domains = scores_by_domain(dataset, scores);
  ASSERT_EQ(domains.size(), 1u) << "one without examples is none";
  EXPECT_EQ(domains[0].domain, "d");
  EXPECT_DOUBLE_EQ(domains[0].loss, 10.0 / 3);
  EXPECT_EQ(domains[0].examples, 3u);
  EXPECT_EQ(domains[0].failures, 1u);
  EXPECT_DOUBLE_EQ(domains[0].cost, 3.5);
  EXPECT_EQ(domains[0].sums, (std::vector<double>{3, 6}));
}

TEST(ScoreOf, IsAQuotientOfSumsAndOfNothingAllOrNothing) {
  const ScoreTerm term{"x", "X", 0, 1};
  EXPECT_EQ(score_of({1, 4}, term), 0.25);
  EXPECT_EQ(score_of({0, 0}, term), 0.0);
  EXPECT_EQ(score_of({2, 0}, term), 1.0);
}

}  // namespace
}  // namespace rehearse
