#include "trainer/observe/terms.h"
#include "trainer/tasks/keypoints/keypoints_sums.h"

namespace rehearse::keypoints {
namespace {

std::vector<ScoreTerm> scores() {
  return {
      {.key = "error",
       .title = "error",
       .numerator = kScoreError,
       .denominator = kScorePictures,
       .hint = "mean distance of a picture's points / inter-ocular distance, at most 100 %"},
      {.key = "mse",
       .title = "MSE",
       .numerator = kScoreSquares,
       .denominator = kScoreCoordinates,
       .is_percent = false,
       .numerator_key = "squared_error",
       .denominator_key = "coordinates",
       .hint = "of known coordinates, from -1 to 1 across the picture"},
      {.key = "within_5",
       .title = "within 5 %",
       .numerator = kScoreWithin5,
       .denominator = kScorePoints,
       .numerator_key = "points_within_5",
       .denominator_key = "points",
       .hint = "known points nearer than 5 % of the inter-ocular distance",
       .is_more_better = true},
      {.key = "within_10",
       .title = "within 10 %",
       .numerator = kScoreWithin10,
       .denominator = kScorePoints,
       .numerator_key = "points_within_10",
       .hint = "the same for 10 %",
       .is_more_better = true},
  };
}

TaskTerms terms() {
  TaskTerms terms;
  terms.task = "keypoints";
  terms.example = "picture";
  terms.examples = "pictures";
  terms.name_key = "source";
  terms.loss_key = "mse";
  terms.loss_title = "loss";
  terms.loss_digits = 4;
  terms.speed_word = "pictures a second";
  terms.loss_hint = "squared error of a known coordinate";
  terms.cost_key = "pictures";
  terms.speed_title = "pictures/s";
  terms.speed_hint = "pictures learned from each second, all ranks";
  terms.size_key = terms.run_size_key = "pictures";
  terms.size_title = terms.size_unit = "pictures";
  terms.ratios = {
      {.key = "error", .title = "error", .numerator = kErrors, .denominator = kPictures, .is_in_line = true},
      {.key = "within_10", .title = "within 10 %", .numerator = kPointsWithin10, .denominator = kPoints}};
  terms.scores = scores();
  terms.counts = {{.key = "points", .title = "points", .sum = kScorePoints}};
  terms.counts_hint = "points: those that are known. ";
  terms.failures_title = "pictures that could not be read";
  terms.infeasible_note = "expected a picture with a known point; found one whose points all moved beyond its edge";
  return terms;
}

}  // namespace

REHEARSE_TERMS(terms);

}  // namespace rehearse::keypoints
