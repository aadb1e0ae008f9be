#include "trainer/engine/evaluate/extremes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct NumberSet : ExampleSet {
  NumberSet() {
    dataset.ids = {10, 11, 12, 13, 14, 15};
    dataset.domain = {0, 0, 0, 1, 1, 1};
    dataset.cost = {1, 1, 1, 1, 1, 1};
    dataset.domains = {"even", "odd"};
    dataset.name_of = [](uint32_t n) { return "number " + std::to_string(n); };
  }
  std::unique_ptr<Batch> load(const MicroBatch& plan, const std::stop_token& stop) const override {
    return load_plain(plan, stop);
  }
  std::unique_ptr<Batch> load_plain(const MicroBatch& plan, const std::stop_token&) const override {
    auto batch = std::make_unique<Batch>();
    batch->draws = plan.draws;
    return batch;
  }
};

// Scores a number by its error in the list, and draws it as its name.
class NumberTask : public Task {
 public:
  const TaskTerms& terms() const override { return terms_of("ctc"); }
  ParameterStore& store() override { return store_; }
  TaskOutput forward(const Batch&, const ForwardContext&) override { return {}; }
  std::vector<ExampleScore> score(const ExampleSet&, const Batch& batch, bool with_detail) override {
    std::vector<ExampleScore> scores;
    for (const Draw& draw : batch.draws) {
      scores.emplace_back().example = draw.utterance;
      scores.back().error = kErrors[draw.utterance];
      if (with_detail) scores.back().detail = {{"n", draw.utterance}};
    }
    return scores;
  }
  std::unique_ptr<ExampleSet> training_set() override { return nullptr; }
  std::unique_ptr<ExampleSet> validation_set() override { return nullptr; }
  std::unique_ptr<ExampleSet> scored_set(const std::string&) override { return nullptr; }
  bool draws_pictures() const override { return draws_; }
  std::string picture(const ExampleSet&, const ExampleScore& score) override { return score.detail.dump(); }

  std::vector<ExampleScore> all(const NumberSet& set) {
    MicroBatch plan;
    for (uint32_t n = 0; n < set.dataset.size(); ++n) plan.draws.push_back({.utterance = n});
    return score(set, *set.load_plain(plan, {}), false);
  }
  bool draws_ = true;

 private:
  static constexpr double kErrors[] = {0.5, 0.1, 0.9, 0.1, 0.7, 0.3};
  ParameterStore store_{1, {}};
};

std::vector<std::string> names(const std::vector<ShownPicture>& shown) {
  std::vector<std::string> names;
  for (const ShownPicture& one : shown) names.push_back(one.name);
  return names;
}

TEST(DrawnExtremes, AreTheWorstThenTheBestWithTheirPictures) {
  NumberSet set;
  NumberTask task;
  const std::vector<ShownPicture> shown = drawn_extremes(task, set, task.all(set), 2);
  EXPECT_THAT(names(shown), ElementsAre("number 2", "number 4", "number 1", "number 3"));
  EXPECT_EQ(shown[0].error, 0.9);
  EXPECT_EQ(shown[1].domain, "odd");
  EXPECT_EQ(shown[1].png, R"({"n":4})");
  EXPECT_FALSE(shown[1].is_best);
  EXPECT_TRUE(shown[2].is_best);
}

TEST(DrawnExtremes, NoExampleIsShownTwiceAndNoneThatCouldNotBeLoaded) {
  NumberSet set;
  NumberTask task;
  std::vector<ExampleScore> scores = task.all(set);
  scores[2].failure = "gone";
  EXPECT_THAT(names(drawn_extremes(task, set, scores, 4)), ElementsAre("number 4", "number 0", "number 1", "number 3"));
}

TEST(DrawnExtremes, OfNothingAndOfATaskThatDrawsNothingAreNone) {
  NumberSet set;
  NumberTask task;
  EXPECT_THAT(drawn_extremes(task, set, {}, 4), IsEmpty());
  task.draws_ = false;
  EXPECT_THAT(drawn_extremes(task, set, task.all(set), 4), IsEmpty());
}

}  // namespace
}  // namespace rehearse
