#include "trainer/base/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> names_of(const nlohmann::json& events, const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& event : events)
    if (event.at("ph") == kind)
      names.push_back(kind == "M" ? event.at("args").at("name").get<std::string>()
                                  : event.at("name").get<std::string>());
  return names;
}

std::string& told() {  // what the ranges were told, in order
  static std::string text;
  return text;
}

TEST(Trace, SpansOfRecordedStepsAreKeptAndOthersAreNot) {
  Trace trace;
  TraceLane& lane = trace.lane("training");
  { const TraceSpan before(&lane, "before the first step"); }
  for (uint64_t step : {3, 4, 5}) {
    trace.begin_step(step, step != 4);
    const TraceSpan span(&lane, "step " + std::to_string(step));
  }
  EXPECT_THAT(names_of(trace.events(0, 0, 100), "X"), ElementsAre("step 3", "step 5"));
  EXPECT_THAT(names_of(trace.events(0, 4, 6), "X"), ElementsAre("step 5"));
  trace.clear();
  EXPECT_THAT(names_of(trace.events(0, 0, 100), "X"), IsEmpty());
}

TEST(Trace, WithoutALaneASpanDoesNothing) {
  TraceSpan span(nullptr, "nothing");
  span.note("key", 1);
}

TEST(Trace, SpansNestInTheFile) {
  Trace trace;
  TraceLane& lane = trace.lane("training");
  trace.begin_step(0, true);
  {
    TraceSpan outer(&lane, "outer");
    outer.note("B", 7);
    const TraceSpan inner(&lane, "inner");
    lane.instant("now");
  }
  const nlohmann::json events = trace.events(2, 0, 1);
  EXPECT_THAT(names_of(events, "M"), ElementsAre("rank 2", "training"));
  ASSERT_THAT(names_of(events, "X"), ElementsAre("outer", "inner"));
  const auto &outer = events[2], &inner = events[3], &instant = events[4];
  EXPECT_EQ(outer.at("args").at("B"), 7);
  EXPECT_EQ(outer.at("args").at("step"), 0);
  EXPECT_EQ(outer.at("pid"), 2);
  const auto end_of = [](const nlohmann::json& event) {
    return event.at("ts").get<double>() + event.at("dur").get<double>();
  };
  EXPECT_LE(outer.at("ts").get<double>(), inner.at("ts").get<double>());
  EXPECT_LE(end_of(inner), end_of(outer));
  EXPECT_EQ(instant.at("ph"), "i");
  EXPECT_GE(instant.at("ts").get<double>(), inner.at("ts").get<double>());
  EXPECT_LE(instant.at("ts").get<double>(), end_of(inner));
}

TEST(Trace, ThreadsDrawIntoTheirOwnLanes) {
  Trace trace;
  trace.begin_step(0, true);
  constexpr int kThreads = 4, kSpans = 500;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i)
      threads.emplace_back([&trace, i] {
        TraceLane& lane = trace.lane("thread " + std::to_string(i));
        for (int k = 0; k < kSpans; ++k) const TraceSpan span(&lane, "work");
      });
  }
  std::map<int, int> spans;
  for (const auto& event : trace.events(0, 0, 1))
    if (event.at("ph") == "X") ++spans[event.at("tid").get<int>()];
  ASSERT_EQ(spans.size(), static_cast<size_t>(kThreads));
  for (const auto& [thread, count] : spans) EXPECT_EQ(count, kSpans) << thread;
}

TEST(Trace, RangesHearOfRecordedSpansOnly) {
  told().clear();
  Trace trace({[](const char* name) { told() += std::string("<") + name; }, [] { told() += ">"; }});
  TraceLane& lane = trace.lane("training");
  { const TraceSpan span(&lane, "unseen"); }
  trace.begin_step(0, true);
  {
    const TraceSpan outer(&lane, "a");
    const TraceSpan inner(&lane, "b");
  }
  EXPECT_EQ(told(), "<a<b>>");
}

}  // namespace
}  // namespace rehearse
