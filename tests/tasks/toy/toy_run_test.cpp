// A task that lives in tests/ alone trains on two ranks, goes on bit for bit after kill -9, is evaluated and reported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/tiny_run.h"
#include "trainer/base/files.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Points of the plane z = 0.6 u - 0.3 v + 0.2, in a domain near the middle and one far from it.
void write_points(const std::filesystem::path& path, size_t count, uint64_t seed) {
  std::ofstream file(path);
  for (const char* domain : {"far", "near"}) {
    const double reach = std::string(domain) == "far" ? 2.0 : 0.5;
    for (size_t n = 0; n < count; ++n) {
      const RandomKey key = RandomKey(seed).with(domain).with(n);
      const double u = reach * (2 * key.uniform(0) - 1), v = reach * (2 * key.uniform(1) - 1);
      file << domain << ' ' << u << ' ' << v << ' ' << 0.6 * u - 0.3 * v + 0.2 << '\n';
    }
  }
}

class PlaneRun : public ::testing::Test {
 protected:
  PlaneRun() {
    write_points(path("train.txt"), 300, 1);
    write_points(path("valid.txt"), 40, 2);
    std::ofstream(path("plane.yaml")) << "extends: base\ntask: {type: plane}\n"
                                      << "data: {train: [" << path("train.txt") << "], valid: [" << path("valid.txt")
                                      << "]}\nbatch: {cost: 16, micro_batches: 2}\noptimizer: {lr: 0.02}\n"
                                      << "budget: {steps: 6000}\ncheckpoint: {every_steps: 500}\n"
                                      << "validation: {every_steps: 3000}\n";
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  // The line of the toy's own program, on this many ranks.
  static std::vector<std::string> line(int ranks, const std::vector<std::string>& arguments) {
    std::vector<std::string> words = rehearse_ranks_line(ranks, arguments);
    for (std::string& word : words)
      if (word == REHEARSE_BINARY) word = REHEARSE_TOY_BINARY;
    return words;
  }
  std::vector<std::string> train(const std::string& run, std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"train", path("plane.yaml"), "--set", "run.folder=" + path(run)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<std::byte> last_file(const std::string& run, const std::string& name) const {
    return read_bytes(path(run) + "/checkpoints/step-00006000/" + name);
  }
  TemporaryFolder folder_{"plane"};
};

TEST_F(PlaneRun, TrainsIsKilledGoesOnBitForBitIsEvaluatedAndReported) {
  const ProcessResult unbroken = run_process(line(2, train("unbroken")));
  ASSERT_EQ(unbroken.exit_code, 0) << unbroken.err;
  EXPECT_THAT(unbroken.err, AllOf(HasSubstr("miss"), Not(HasSubstr("CER")), Not(HasSubstr("token"))));
  {
    RunningProcess process(line(2, train("killed")));
    ASSERT_TRUE(wait_for_step(process, path("killed"), 1000)) << process.err();
    const auto rank = process_of_rank(process.id(), 1);
    ASSERT_TRUE(rank.has_value());
    ASSERT_EQ(kill(*rank, SIGKILL), 0);
    EXPECT_NE(process.wait(30).exit_code, 0);
  }
  const ProcessResult resumed = run_process(line(2, train("killed", {"--resume", "auto"})));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("resumed from"));
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "curriculum.h5"})
    EXPECT_TRUE(last_file("killed", name) == last_file("unbroken", name)) << name;

  const ProcessResult scored =
      run_process(line(1, {"evaluate", path("unbroken"), "--manifest", path("valid.txt"), "--json", path("scores.json"),
                           "--answers", path("answers.jsonl")}));
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  EXPECT_THAT(scored.out, AllOf(HasSubstr("miss"), HasSubstr("MSE"), HasSubstr("far"), HasSubstr("near")));
  const json scores = json::parse(read_text(path("scores.json")));
  EXPECT_LT(scores.at("macro_mse").get<double>(), 0.02);
  EXPECT_THAT(read_text(path("answers.jsonl")), HasSubstr("\"answer\""));

  const ProcessResult report = run_process(line(1, {"report", path("unbroken"), "--out", path("report.html")}));
  ASSERT_EQ(report.exit_code, 0) << report.err;
  EXPECT_THAT(read_text(path("report.html")), AllOf(HasSubstr("miss"), HasSubstr("points"), Not(HasSubstr("CER"))));
}

TEST_F(PlaneRun, TheProgramWithoutItNamesTheTasksThatItKnows) {
  const ProcessResult result = run_rehearse(train("other"));
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("plane"), HasSubstr("ctc"), HasSubstr("keypoints")));
}

}  // namespace
}  // namespace rehearse
