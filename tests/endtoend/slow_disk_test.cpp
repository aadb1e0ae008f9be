// A checkpoint that takes 4 seconds to write: training goes on meanwhile, and a save is no absence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <regex>
#include <sstream>

#include "tests/data/text/text_support.h"
#include "tests/support/tiny_run.h"
#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SlowDisk : public ::testing::Test {
 protected:
  SlowDisk() { tiny_folder(); }
  fs::path run() const { return folder_.path() / "run"; }
  static ProcessOptions disk_with(const std::string& name, const std::string& value) {
    ProcessOptions options;
    options.environment = {
        {"LD_PRELOAD", REHEARSE_SLOW_DISK}, {"ASAN_OPTIONS", "verify_asan_link_order=0"}, {name, value}};
    return options;
  }
  static ProcessOptions slow_disk() { return disk_with("REHEARSE_TEST_FSYNC_MS", "400"); }
  // For tests/faults/run.sh.
  void record(const ProcessResult& result, const std::string& message, std::chrono::steady_clock::time_point since) {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - since;
    RecordProperty("exit", std::to_string(result.exit_code));
    RecordProperty("seconds", std::to_string(seconds.count()));
    std::istringstream lines(result.err);
    for (std::string line; std::getline(lines, line);)
      if (line.find(message) != std::string::npos) RecordProperty("message", line);
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

// Rank 0 takes 4 s before its last copy is made; the other one waits for it, longer than either limit.
TEST_F(SlowDisk, AStopWhoseCopyTakesLongerThanTheLimitsIsComplete) {
  RunningProcess process(
      rehearse_ranks_line(2, tiny_train(run(), {"--set", "comm.timeout_s=3", "--set", "comm.term_grace_s=1", "--set",
                                                "checkpoint.every_steps=0", "--set", "checkpoint.keep_best=false"})),
      disk_with("REHEARSE_TEST_SPACE_MS", "2000"));
  ASSERT_TRUE(wait_for_step(process, run(), 5)) << process.err();
  const auto rank = process_of_rank(process.id(), 1);
  ASSERT_TRUE(rank.has_value());
  const auto asked = std::chrono::steady_clock::now();
  ASSERT_EQ(kill(*rank, SIGTERM), 0);
  const ProcessResult result = process.wait(60);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_GE(std::chrono::steady_clock::now() - asked, std::chrono::milliseconds(2000)) << "the copy took its time";
  record(result, "stopped by a signal", asked);
  const auto all = list_checkpoints(run() / "checkpoints");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_NO_THROW(verify_checkpoint(all[0]));
  if (!HasFailure()) RecordProperty("resumed", "the stop's own checkpoint is whole");
}

// The fault: the first rotation ended the run with exit code 4.
TEST_F(SlowDisk, AFileServerThatRefusesToRemoveAFolderEndsNothing) {
  const auto started = std::chrono::steady_clock::now();
  const ProcessResult result = run_process(
      rehearse_ranks_line(2, tiny_train(run(), {"--set", "checkpoint.keep_last=1", "--set", "budget.steps=31"})),
      disk_with("REHEARSE_TEST_FILE_SERVER", "1"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  record(result, "could not remove it", started);
  EXPECT_THAT(result.err, AllOf(HasSubstr("warning: "), HasSubstr(".step-00000010.old: could not remove it"),
                                HasSubstr("tried again at the next save")));
  const fs::path folder = run() / "checkpoints";
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder / "best"))) << "a file takes the place of the link";
  EXPECT_EQ(list_checkpoints(folder).at(0), folder / "step-00000031");
  for (const fs::path& one : list_checkpoints(folder)) EXPECT_NO_THROW(verify_checkpoint(one)) << one;
  const ProcessResult resumed =
      run_rehearse_ranks(2, tiny_train(run(), {"--resume", "auto", "--set", "checkpoint.keep_last=1"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("resumed from " + (folder / "step-00000031").string()));
  for (const auto& entry : fs::directory_iterator(folder))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".step-")) << entry.path() << " goes when it can";
  if (!HasFailure()) RecordProperty("resumed", "to the end; what could not be removed is gone");
}

// A failure is told at once, not once the checkpoint in flight is on a disk that takes 11 x 2 s for it.
TEST_F(SlowDisk, AFailingRankDoesNotWaitForItsCheckpointToTellTheOthers) {
  const ProcessOptions options = disk_with("REHEARSE_TEST_FSYNC_MS", "2000");
  RunningProcess process(rehearse_ranks_line(2, tiny_train(run())), options);
  ASSERT_TRUE(wait_until(60, [&] { return fs::exists(run() / "checkpoints/.step-00000010.tmp"); })) << process.err();
  const auto rank = process_of_rank(process.id(), 0);
  ASSERT_TRUE(rank.has_value());
  const auto failed = std::chrono::steady_clock::now();
  const rlimit none = {1, 1};
  ASSERT_EQ(prlimit(*rank, RLIMIT_FSIZE, &none, nullptr), 0);
  process.wait(40);
  EXPECT_LT(std::chrono::steady_clock::now() - failed, std::chrono::seconds(10));
}

}  // namespace
}  // namespace rehearse
