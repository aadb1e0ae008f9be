// `train --profile`: what the pictures of two ranks hold, and that nobody trains differently for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/data/text/text_support.h"
#include "tests/support/tiny_run.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr uint64_t kProfiled = 5, kFirst = 20;

struct Row {
  std::string name;  // of the thread
  std::vector<json> spans, instants;
};

std::vector<Row> rows_of(const json& trace) {
  std::map<int, Row> rows;
  for (const json& event : trace.at("traceEvents")) {
    Row& row = rows[event.at("tid").get<int>()];
    if (event.at("ph") == "M") row.name = event.at("args").at("name");
    if (event.at("ph") == "X") row.spans.push_back(event);
    if (event.at("ph") == "i") row.instants.push_back(event);
  }
  std::vector<Row> found;
  for (auto& [thread, row] : rows)
    if (thread > 0) found.push_back(std::move(row));
  return found;
}

Row row_named(const json& trace, const std::string& name) {
  for (Row& row : rows_of(trace))
    if (row.name == name) return row;
  throw std::runtime_error("no row " + name);
}

// In nanoseconds, which the file's microseconds hold exactly.
int64_t begin_of(const json& event) {
  return std::llround(event.at("ts").get<double>() * 1000);
}
int64_t end_of(const json& event) {
  return begin_of(event) + std::llround(event.at("dur").get<double>() * 1000);
}

size_t count(const std::vector<json>& events, uint64_t step, const std::string& name) {
  return static_cast<size_t>(std::count_if(events.begin(), events.end(), [&](const json& event) {
    return event.at("args").at("step") == step && event.at("name").get<std::string>().starts_with(name);
  }));
}

// One profiled run for all tests of this file.
class ProfiledRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>("profiled");
    result_ = run_rehearse_ranks(2, tiny_train(run(), {"--profile", std::to_string(kProfiled)}));
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static fs::path run() { return folder_->path() / "run"; }
  static json trace(int rank) {
    return json::parse(read_text(run() / "profile" / ("rank-" + std::to_string(rank) + ".json")));
  }
  void SetUp() override { ASSERT_EQ(result_.exit_code, 0) << result_.err; }

  static std::unique_ptr<TemporaryFolder> folder_;
  static ProcessResult result_;
};
std::unique_ptr<TemporaryFolder> ProfiledRun::folder_;
ProcessResult ProfiledRun::result_;

TEST_F(ProfiledRun, EndsWithTheSameBitsAsTheRunWithoutAProfile) {
  for (const char* name : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_TRUE(final_bytes(run(), name) == final_bytes(tiny_folder() / "unbroken", name)) << name;
  EXPECT_FALSE(fs::exists(tiny_folder() / "unbroken/profile"));
}

TEST_F(ProfiledRun, SaysWhereItIsAndWhatWasHidden) {
  EXPECT_THAT(result_.err, HasSubstr("profile of steps 20 to 24 in " + (run() / "profile/rank-0.json").string()));
  EXPECT_THAT(result_.err, HasSubstr("ui.perfetto.dev"));
  EXPECT_THAT(result_.err, HasSubstr(" ms of gradient all-reduces were hidden behind backward"));
}

TEST_F(ProfiledRun, HasExactlyTheStepsAndEveryPhaseOfEach) {
  for (int rank : {0, 1}) {
    const Row training = row_named(trace(rank), "training");
    std::set<uint64_t> steps;
    for (const json& span : training.spans) steps.insert(span.at("args").at("step").get<uint64_t>());
    EXPECT_EQ(steps, (std::set<uint64_t>{20, 21, 22, 23, 24})) << "rank " << rank;
    for (uint64_t step = kFirst; step < kFirst + kProfiled; ++step) {
      for (const char* name : {"step", "plan", "communication wait", "update", "observe"})
        EXPECT_EQ(count(training.spans, step, name), 1u) << "rank " << rank << ", step " << step << ", " << name;
      for (const char* name : {"micro-batch", "data", "forward", "CTC", "backward", "score"})
        EXPECT_EQ(count(training.spans, step, name), 2u) << "4 micro-batches on 2 ranks, " << name;
    }
  }
}

TEST_F(ProfiledRun, MicroBatchesTellTheirShape) {
  const json trace_0 = trace(0);
  for (const json& span : row_named(trace_0, "training").spans) {
    if (span.at("name") != "micro-batch") continue;
    const json& args = span.at("args");
    EXPECT_GE(args.at("B").get<int>(), 1);
    EXPECT_GT(args.at("longest_s").get<double>(), 0.1);
    EXPECT_GE(args.at("seconds").get<double>(), args.at("longest_s").get<double>());
  }
}

TEST_F(ProfiledRun, SpansOfARowNest) {
  for (int rank : {0, 1})
    for (const Row& row : rows_of(trace(rank))) {
      std::vector<json> open;
      for (const json& span : row.spans) {  // by begin
        while (!open.empty() && end_of(open.back()) <= begin_of(span)) open.pop_back();
        const int64_t limit = open.empty() ? end_of(span) : end_of(open.back());
        EXPECT_LE(end_of(span), limit) << row.name << ": " << span.dump();
        open.push_back(span);
      }
    }
}

TEST_F(ProfiledRun, EveryBucketIsLaunchedAndReducedOnceAStep) {
  for (int rank : {0, 1}) {
    const json all = trace(rank);
    const Row training = row_named(all, "training"), communication = row_named(all, "communication");
    const std::string one = training.instants.at(0).at("name");  // "launch bucket 0 of 7"
    const int num_buckets = std::stoi(one.substr(one.rfind(' ')));
    EXPECT_GT(num_buckets, 2) << "or nothing could overlap";
    for (uint64_t step = kFirst; step < kFirst + kProfiled; ++step) {
      for (int bucket = 0; bucket < num_buckets; ++bucket) {
        const std::string launched = "launch bucket " + std::to_string(bucket) + " of " + std::to_string(num_buckets);
        EXPECT_EQ(count(training.instants, step, launched), 1u) << "rank " << rank << ", step " << step;
      }
      EXPECT_EQ(count(communication.spans, step, "all_reduce"), static_cast<size_t>(num_buckets));
      EXPECT_EQ(count(communication.spans, step, "all_gather"), 1u);
    }
    for (const json& span : communication.spans) {
      EXPECT_TRUE(span.at("args").contains("bytes")) << span.dump();
      EXPECT_GE(span.at("args").at("queued_s").get<double>(), 0);
    }
  }
}

TEST_F(ProfiledRun, SomeBucketsGoOutInsideBackward) {
  const Row training = row_named(trace(0), "training");
  size_t inside = 0;
  for (const json& instant : training.instants)
    for (const json& span : training.spans)
      inside +=
          span.at("name") == "backward" && begin_of(span) <= begin_of(instant) && begin_of(instant) <= end_of(span);
  EXPECT_GE(inside, kProfiled);
}

TEST_F(ProfiledRun, TheHiddenShareIsAShare) {
  for (int rank : {0, 1}) {
    const json other = trace(rank).at("otherData");
    EXPECT_EQ(other.at("rank"), rank);
    EXPECT_EQ(other.at("ranks"), 2);
    EXPECT_GT(other.at("gradient_all_reduce_s").get<double>(), 0);
    EXPECT_GE(other.at("hidden_share").get<double>(), 0);
    EXPECT_LE(other.at("hidden_share").get<double>(), 1);
  }
}

}  // namespace
}  // namespace rehearse
