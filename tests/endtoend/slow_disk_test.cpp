// A checkpoint that takes 4 seconds to write: training goes on meanwhile, and a save is no absence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <regex>

#include "tests/data/text_support.h"
#include "tests/support/tiny_run.h"
#include "trainer/engine/checkpoint.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

class SlowDisk : public ::testing::Test {
 protected:
  SlowDisk() { tiny_folder(); }
  fs::path run() const { return folder_.path() / "run"; }
  static ProcessOptions slow_disk() {
    ProcessOptions options;
    options.environment = {{"LD_PRELOAD", REHEARSE_SLOW_FSYNC},
                           {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                           {"REHEARSE_TEST_FSYNC_MS", "400"}};
    return options;
  }
  // Where a line with `part` is in metrics.jsonl; -1: nowhere.
  int line_with(const std::string& part) const {
    std::ifstream lines(run() / "metrics.jsonl");
    int number = 0;
    for (std::string line; std::getline(lines, line); ++number)
      if (line.find(part) != std::string::npos) return number;
    return -1;
  }

  TemporaryFolder folder_{"slow_disk"};
};

TEST_F(SlowDisk, TrainingGoesOnWhileACheckpointIsWritten) {
  const ProcessResult result = run_process(
      rehearse_ranks_line(1, tiny_train(run(), {"--set", "checkpoint.every_steps=20", "--set", "budget.steps=22"})),
      slow_disk());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::smatch found;
  ASSERT_TRUE(
      std::regex_search(result.err, found, std::regex("step-00000020 \\(stall ([0-9]+) ms, written in ([0-9]+) ms\\)")))
      << result.err;
  EXPECT_LT(std::stoi(found[1]), 1000);
  EXPECT_GE(std::stoi(found[2]), 4000) << "eleven times 0.4 s";
  const int step = line_with("\"step\":22"), note = line_with("step-00000020 (stall");
  ASSERT_GE(step, 0);
  EXPECT_LT(step, note) << "step 22 ran before step 20 was on the disk";
}

// Both limits are shorter than one save, and the signal comes while an earlier save is in flight.
TEST_F(SlowDisk, AStopThatSavesForLongerThanTheLimitsOfACollectiveIsComplete) {
  RunningProcess process(
      rehearse_ranks_line(2, tiny_train(run(), {"--set", "comm.timeout_s=3", "--set", "comm.term_grace_s=1"})),
      slow_disk());
  ASSERT_TRUE(wait_for_step(process, run(), 11)) << process.err();
  const auto rank = process_of_rank(process.id(), 1);
  ASSERT_TRUE(rank.has_value());
  ASSERT_EQ(kill(*rank, SIGTERM), 0);
  const ProcessResult result = process.wait(60);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  const auto all = list_checkpoints(run() / "checkpoints");
  ASSERT_GE(all.size(), 2u) << "the one in flight and the one of the stop";
  for (const fs::path& one : all) EXPECT_NO_THROW(verify_checkpoint(one)) << one;
  EXPECT_THAT(result.err,
              HasSubstr("stopped by a signal at step " + std::to_string(load_checkpoint(all[0], false).step)));
}

}  // namespace
}  // namespace rehearse
