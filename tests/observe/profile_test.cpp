#include "trainer/observe/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/data/text/text_support.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

TraceEvent event(const std::string& name, double start_s, double end_s, const std::string& what = "") {
  TraceEvent made{name, start_s, end_s - start_s, false, 0, {}};
  if (!what.empty()) made.args["what"] = what;
  return made;
}

class ProfileTest : public ::testing::Test {
 protected:
  // A run of so many steps from `first` on; the steps in its file.
  std::vector<uint64_t> drawn_steps(uint64_t first, uint64_t steps, uint64_t num_profiled) {
    Trace trace;
    Profile profile({folder_.path(), 1, 2, num_profiled}, trace);
    for (uint64_t step = first; step < first + steps; ++step) {
      said_ += profile.begin_step(step);
      const TraceSpan span(profile.lane(), "step");
    }
    said_ += profile.finish();
    file_ = nlohmann::json::parse(read_text(folder_.path() / "profile/rank-1.json"));
    std::vector<uint64_t> drawn;
    for (const auto& one : file_.at("traceEvents"))
      if (one.at("ph") == "X") drawn.push_back(one.at("args").at("step"));
    return drawn;
  }

  TemporaryFolder folder_{"profile"};
  std::string said_;
  nlohmann::json file_;
};

TEST_F(ProfileTest, TheFirstTwentyStepsOfALongRunAreLeftOut) {
  EXPECT_EQ(drawn_steps(0, 40, 3), (std::vector<uint64_t>{20, 21, 22}));
  EXPECT_THAT(said_, HasSubstr("profile of steps 20 to 22 in "));
  EXPECT_EQ(file_.at("otherData").at("steps"), 3);
  EXPECT_EQ(file_.at("otherData").at("first_step"), 20);
}

TEST_F(ProfileTest, ARunThatEndsWithItsLastProfiledStepHasThemAll) {
  EXPECT_EQ(drawn_steps(0, 23, 3), (std::vector<uint64_t>{20, 21, 22}));
}

TEST_F(ProfileTest, AShorterRunShowsItsFirstSteps) {
  EXPECT_EQ(drawn_steps(0, 22, 3), (std::vector<uint64_t>{0, 1, 2}));
}

TEST_F(ProfileTest, ARunShorterThanAskedForShowsWhatItHas) {
  EXPECT_EQ(drawn_steps(0, 2, 3), (std::vector<uint64_t>{0, 1}));
  EXPECT_EQ(file_.at("otherData").at("steps"), 2);
}

TEST_F(ProfileTest, AResumedRunCountsFromWhereItWentOn) {
  EXPECT_EQ(drawn_steps(100, 30, 2), (std::vector<uint64_t>{120, 121}));
}

TEST_F(ProfileTest, MoreThanTwentyStepsAreDrawnWithoutAGap) {
  const auto drawn = drawn_steps(0, 60, 30);
  ASSERT_EQ(drawn.size(), 30u);
  EXPECT_EQ(drawn.front(), 20u);
  EXPECT_EQ(drawn.back(), 49u);
}

TEST_F(ProfileTest, ItIsWrittenOnce) {
  Trace trace;
  Profile profile({folder_.path(), 0, 1, 1}, trace);
  EXPECT_EQ(profile.finish(), "") << "no step was done";
  EXPECT_EQ(profile.begin_step(0), "");
  EXPECT_THAT(profile.finish(), HasSubstr("one rank, nothing to reduce"));
  EXPECT_EQ(profile.finish(), "");
  EXPECT_EQ(profile.begin_step(1), "");
}

TEST(OverlapOf, CountsTheTimeThatWasWaitedFor) {
  const std::vector<TraceEvent> training = {event("backward", 0, 10), event("communication wait", 10, 13),
                                            event("observe", 13, 20)};
  const std::vector<TraceEvent> communication = {event("all_reduce", 4, 6, "all_reduce (bucket 0 of 2, 1 MiB)"),
                                                 event("all_reduce", 9, 12, "all_reduce (bucket 1 of 2, 1 MiB)"),
                                                 event("all_gather", 14, 19, "all_gather (observations)"),
                                                 event("all_reduce", 1, 2, "all_reduce (batch norm)")};
  const Overlap overlap = overlap_of(training, communication);
  EXPECT_DOUBLE_EQ(overlap.collectives_s, 5);
  EXPECT_DOUBLE_EQ(overlap.waited_s, 2);
  EXPECT_DOUBLE_EQ(overlap.hidden_share(), 0.6);
  EXPECT_LT(overlap_of(training, {}).hidden_share(), 0);
}

TEST(PhaseTimer, AddsTheSameSecondsWithAndWithoutALane) {
  Trace trace;
  trace.begin_step(0, true);
  TraceLane& lane = trace.lane("training");
  for (TraceLane* drawn : {static_cast<TraceLane*>(nullptr), &lane}) {
    double forward = 0, ctc = 0;
    const double before = monotonic_s();
    {
      PhaseTimer timer(drawn, "forward", forward);
      std::this_thread::sleep_for(std::chrono::milliseconds(4));
      timer.split("CTC", ctc, 0.001);
    }
    const double all = monotonic_s() - before;
    EXPECT_GE(ctc, 0.001);
    EXPECT_GE(forward, 0.002);
    EXPECT_LE(forward + ctc, all + 1e-9);
  }
  const auto events = lane.events(0, 1);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].name, "forward");
  EXPECT_EQ(events[1].name, "CTC");
  EXPECT_NEAR(events[0].start_s + events[0].seconds, events[1].start_s, 1e-9) << "no gap between them";
}

}  // namespace
}  // namespace rehearse
