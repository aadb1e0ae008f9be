// Ranks that die, stop or fail: the others end in time, say who it was, and the run goes on to the same weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "tests/data/text/text_support.h"
#include "tests/endtoend/unbroken.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Faults : public ::testing::Test {
 protected:
  Faults() { tiny_folder(); }
  fs::path run() const { return folder_.path() / "run"; }

  // Starts the run and waits until it has done `step` steps.
  void start(std::vector<std::string> line, int step) {
    process_ = std::make_unique<RunningProcess>(line);
    ASSERT_TRUE(wait_for_step(*process_, run(), step)) << process_->err();
    for (int rank : {0, 1}) {
      const auto found = process_of_rank(process_->id(), rank);
      ASSERT_TRUE(found.has_value()) << "rank " << rank;
      ranks_.push_back(*found);
    }
  }
  // Nothing of the run may be left behind.
  void expect_nobody_left() {
    for (pid_t one : ranks_)
      EXPECT_TRUE(wait_until(3, [one] { return kill(one, 0) != 0; })) << "process " << one << " is still there";
  }
  void expect_resume_equals_unbroken() {
    const ProcessResult resumed = run_rehearse_ranks(2, tiny_train(run(), {"--resume", "auto"}));
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("resumed from"));
    expect_same_as_unbroken(run());
  }
  // Kills rank 1 and checks how the others end.
  void expect_end_after_kill(const std::vector<std::string>& line) {
    start(line, 25);
    const auto killed = Clock::now();
    ASSERT_EQ(kill(ranks_[1], SIGKILL), 0);
    const ProcessResult result = process_->wait(30);
    EXPECT_LE(seconds_since(killed), 10);
    EXPECT_NE(result.exit_code, 0);
    EXPECT_THAT(complaints(result.err),
                ::testing::Contains(
                    AllOf(HasSubstr("rank 0 of 2: step "), HasSubstr("rank 1 is gone"), HasSubstr("--resume auto"))))
        << result.err;
    expect_nobody_left();
    RecordProperty("seconds_to_end", std::to_string(seconds_since(killed)));
  }

  TemporaryFolder folder_{"faults"};
  std::unique_ptr<RunningProcess> process_;
  std::vector<pid_t> ranks_;
};

TEST_F(Faults, AKilledRankEndsTheRunAndItResumesToTheSameBits) {
  expect_end_after_kill(rehearse_ranks_line(2, tiny_train(run())));
  expect_resume_equals_unbroken();
}

TEST_F(Faults, AKilledRankEndsTheRunThroughTheLauncherToo) {
  expect_end_after_kill(through_launcher(2, tiny_train(run())));
}

TEST_F(Faults, AKilledRankZeroIsNamedToo) {
  start(rehearse_ranks_line(2, tiny_train(run())), 15);
  const auto killed = Clock::now();
  ASSERT_EQ(kill(ranks_[0], SIGKILL), 0);
  const ProcessResult result = process_->wait(30);
  EXPECT_LE(seconds_since(killed), 10);
  EXPECT_THAT(complaints(result.err), ::testing::Contains(HasSubstr("rank 0 is gone"))) << result.err;
  expect_nobody_left();
}

TEST_F(Faults, AStoppedRankIsNamedWithStepAndCollectiveAfterTheTimeout) {
  start(through_launcher(2, tiny_train(run())), 12);
  const auto stopped = Clock::now();
  ASSERT_EQ(kill(ranks_[1], SIGSTOP), 0);
  const ProcessResult result = process_->wait(40);
  EXPECT_GE(seconds_since(stopped), 4) << "comm.timeout_s is 5";
  EXPECT_LE(seconds_since(stopped), 15);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(
      complaints(result.err),
      ::testing::Contains(AllOf(HasSubstr("rank 0 of 2: step "), ::testing::ContainsRegex("all_(reduce|gather) \\("),
                                ::testing::ContainsRegex("rank 1 \\(.*silent"), HasSubstr("comm.timeout_s"))))
      << result.err;
  expect_nobody_left();
}

TEST_F(Faults, ARankThatFailsAloneEndsAllWithItsReason) {
  // Only rank 1 writes this file, and it cannot.
  fs::create_directories(run() / "log/rank-1.log");
  const auto started = Clock::now();
  const ProcessResult result = run_rehearse_ranks(2, tiny_train(run()));
  EXPECT_LE(seconds_since(started), 15);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(complaints(result.err), ::testing::Contains(AllOf(HasSubstr("rank 1"), HasSubstr("rank-1.log"))))
      << result.err;
}

TEST_F(Faults, ATermSignalToOneRankMakesAllSaveAndResumeToTheSameBits) {
  start(rehearse_ranks_line(2, tiny_train(run())), 13);
  ASSERT_EQ(kill(ranks_[1], SIGTERM), 0);
  const ProcessResult result = process_->wait(30);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, HasSubstr("stopped by a signal at step"));
  expect_nobody_left();
  expect_resume_equals_unbroken();
}

TEST_F(Faults, AUserSignalToAllRanksMakesThemSaveAndResumeToTheSameBits) {
  start(rehearse_ranks_line(2, tiny_train(run())), 17);
  for (pid_t one : ranks_) ASSERT_EQ(kill(one, SIGUSR1), 0);
  const ProcessResult result = process_->wait(30);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  expect_resume_equals_unbroken();
}

TEST_F(Faults, ATermSignalToTheLauncherMakesAllSave) {
  start(through_launcher(2, tiny_train(run())), 14);
  ASSERT_EQ(kill(process_->id(), SIGTERM), 0);
  const ProcessResult result = process_->wait(40);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, HasSubstr("stopped by a signal at step"));
  expect_nobody_left();
}

TEST_F(Faults, AStopSignalWhileARankHangsEndsWithinTheGraceTime) {
  start(rehearse_ranks_line(2, tiny_train(run(), {"--set", "comm.timeout_s=300", "--set", "comm.term_grace_s=3"})), 12);
  ASSERT_EQ(kill(ranks_[1], SIGSTOP), 0);
  const auto asked = Clock::now();
  ASSERT_EQ(kill(ranks_[0], SIGTERM), 0);
  const ProcessResult result = process_->wait(40);
  EXPECT_LE(seconds_since(asked), 12);
  EXPECT_THAT(complaints(result.err), ::testing::Contains(AllOf(HasSubstr("rank 1 ("), HasSubstr("comm.term_grace_s"))))
      << result.err;
  expect_nobody_left();
}

// The fault: a rank that had waited for longer than the grace when the signal came was ended at once, unsaved.
TEST_F(Faults, AStopSignalToARankThatHasWaitedForLongerThanTheGraceStillSaves) {
  start(rehearse_ranks_line(2, tiny_train(run(), {"--set", "comm.timeout_s=60", "--set", "comm.term_grace_s=3"})), 12);
  ASSERT_EQ(kill(ranks_[1], SIGSTOP), 0);
  std::this_thread::sleep_for(std::chrono::seconds(4));
  const auto asked = Clock::now();
  ASSERT_EQ(kill(ranks_[0], SIGTERM), 0);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  ASSERT_EQ(kill(ranks_[1], SIGCONT), 0);
  const ProcessResult result = process_->wait(30);
  RecordProperty("exit", std::to_string(result.exit_code));
  RecordProperty("seconds", std::to_string(seconds_since(asked)));
  RecordProperty("message", "stopped by a signal; everything is saved");
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, HasSubstr("stopped by a signal at step"));
  expect_nobody_left();
  expect_resume_equals_unbroken();
  if (!HasFailure()) RecordProperty("resumed", "equal");
}

TEST_F(Faults, ATornNewestCheckpointIsRefusedAndTheOneBeforeIsUsed) {
  start(rehearse_ranks_line(2, tiny_train(run())), 35);
  for (pid_t one : ranks_) kill(one, SIGKILL);
  process_->wait(30);
  fs::path newest;
  for (const auto& entry : fs::directory_iterator(run() / "checkpoints"))
    if (entry.path().filename().string().starts_with("step-")) newest = std::max(newest, entry.path());
  ASSERT_FALSE(newest.empty());
  fs::resize_file(newest / "model.safetensors", fs::file_size(newest / "model.safetensors") / 2);
  const ProcessResult resumed = run_rehearse_ranks(2, tiny_train(run(), {"--resume", "auto"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, AllOf(HasSubstr("checkpoint refused"), HasSubstr((newest / "model.safetensors").string())));
  EXPECT_THAT(resumed.err, HasSubstr("resumed from"));
  expect_same_as_unbroken(run());
}

}  // namespace
}  // namespace rehearse
