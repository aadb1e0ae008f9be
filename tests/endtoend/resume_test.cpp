// Going on from a checkpoint: which one, what is said, and faults on top of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>

#include "tests/data/text/text_support.h"
#include "tests/endtoend/unbroken.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class GoingOn : public ::testing::Test {
 protected:
  fs::path run() const { return folder_.path() / "run"; }
  fs::path checkpoint(int step) const { return checkpoint_path(run() / "checkpoints", static_cast<uint64_t>(step)); }
  // A finished run on two ranks with the checkpoints of steps 40, 50 and 60.
  void copy_unbroken() const {
    fs::copy(tiny_folder() / "unbroken", run(), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }
  ProcessResult resume(int ranks, std::vector<std::string> more = {"--resume", "auto"}) const {
    return run_rehearse_ranks(ranks, tiny_train(run(), std::move(more)));
  }
  std::string log_of(int rank) const { return read_text(run() / "log" / concat("rank-", rank, ".log")); }

  TemporaryFolder folder_{"going_on"};
};

// The fault: auto went back to the newer one, and what was done since was lost.
TEST_F(GoingOn, AnOlderCheckpointResumedAndKilledIsWhereAutoGoesOn) {
  copy_unbroken();
  RunningProcess process(
      rehearse_ranks_line(2, tiny_train(run(), {"--resume", checkpoint(40).string(), "--set", "budget.steps=60"})));
  ASSERT_TRUE(wait_until(60, [&] { return process.is_over() || log_of(0).find("resumed from") != std::string::npos; }));
  ASSERT_TRUE(wait_for_step(process, run(), 43)) << process.err();
  const auto killed = process_of_rank(process.id(), 1);
  ASSERT_TRUE(killed.has_value());
  ASSERT_EQ(kill(*killed, SIGKILL), 0);
  process.wait(30);
  EXPECT_THAT(process.err(),
              AllOf(HasSubstr("aside-step-00000050 came after step 40"), HasSubstr("aside-step-00000060")));
  const ProcessResult result = resume(2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, ::testing::ContainsRegex("resumed from .*step-000000[45]0"));
  expect_same_as_unbroken(run());
  EXPECT_TRUE(fs::exists(run() / "checkpoints/aside-step-00000060")) << "nothing is deleted";
  if (!HasFailure()) RecordProperty("resumed", "equal, from where it was killed");
}

TEST_F(GoingOn, AFinishedRunSaysWhatToRaise) {
  copy_unbroken();
  const ProcessResult result = resume(2);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("this run is finished: step 60 has spent its budget (budget.steps 60)"),
                                HasSubstr("raise it with --set")));
  const ProcessResult longer = resume(2, {"--resume", "auto", "--set", "budget.steps=62"});
  EXPECT_EQ(longer.exit_code, 0) << longer.err;
  EXPECT_THAT(longer.err, AllOf(HasSubstr("budget.steps: expected 60, found 62"), HasSubstr("follow the budget")));
  EXPECT_TRUE(fs::exists(checkpoint(62)));
}

TEST_F(GoingOn, WithNothingThereARunBeginsAnewAndSaysSo) {
  const ProcessResult result = resume(1, {"--resume", "auto", "--set", "budget.steps=2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("nothing to resume in " + run().string() + ": training begins anew"));
}

TEST_F(GoingOn, WithNothingThereInitIsWhereARunBegins) {
  const std::string init = (tiny_folder() / "unbroken").string();
  const ProcessResult result = resume(1, {"--resume", "auto", "--init", init, "--set", "budget.steps=2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("training begins anew"), HasSubstr("started from the weights of " + init),
                                HasSubstr("(the best of " + init + ")")));
  const ProcessResult again = resume(1, {"--resume", "auto", "--init", init, "--set", "budget.steps=3"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, AllOf(HasSubstr("resumed from"), HasSubstr("--init is not used")));
}

// A run folder, a checkpoint, an average, and a run with averaged weights: each says which one was taken.
TEST_F(GoingOn, InitTakesEveryKindOfFolderAndNamesWhatItTook) {
  const fs::path unbroken = tiny_folder() / "unbroken";
  const std::string mean = (folder_.path() / "mean").string(), averaged = (folder_.path() / "averaged").string();
  ASSERT_EQ(run_rehearse({"checkpoint", "average", unbroken.string(), "--last", "2", "--out", mean}).exit_code, 0);
  ASSERT_EQ(run_rehearse(tiny_train(averaged, {"--set", "optimizer.ema_decay=0.9", "--set", "budget.steps=3", "--set",
                                               "checkpoint.keep_best=false"}))
                .exit_code,
            0);
  const std::string one = (unbroken / "checkpoints/step-00000050").string();
  const std::map<std::string, std::string> said = {
      {one, one},
      {(unbroken / "checkpoints").string(), "(the best of "},
      {mean, mean + " (the average of 2)"},
      {averaged, "step-00000003 (the newest of " + averaged + "; averaged weights)"}};
  for (const auto& [init, text] : said) {
    fs::remove_all(run());
    const ProcessResult result = run_rehearse(tiny_train(run(), {"--init", init, "--set", "budget.steps=1"}));
    EXPECT_EQ(result.exit_code, 0) << init << ": " << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("started from the weights of "), HasSubstr(text))) << init;
  }
}

TEST_F(GoingOn, ADamagedStateIsSaidByNameAndTheOneBeforeIsTaken) {
  copy_unbroken();
  const std::vector<std::pair<std::string, std::string>> damages = {{"\"updates\":", "progress: updates"},
                                                                    {"\"trajectory_hash\":", "facts: trajectory_hash"}};
  for (const auto& [key, named] : damages) {
    const fs::path state = checkpoint(60) / "state.json", list = checkpoint(60) / "MANIFEST.json";
    std::string text = read_text(state);
    const size_t at = text.find(key) + key.size();
    text.replace(at, text.find_first_of(",\n", at) - at, " []");
    std::ofstream(state) << text;
    nlohmann::json manifest = {{"format", "rehearse-checkpoint"}, {"version", 1}};
    manifest["files"] = nlohmann::json::parse(read_text(list)).at("files");
    manifest["files"]["state.json"] = {{"bytes", text.size()}, {"sha256", sha256_of_file(state)}};
    std::ofstream(list) << manifest.dump();
    const ProcessResult result = resume(2);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("checkpoint refused, trying the one before: " + state.string()),
                                  HasSubstr(named), HasSubstr("resumed from " + checkpoint(50).string()),
                                  Not(HasSubstr("bug in rehearse")), Not(HasSubstr("json.exception"))));
    expect_same_as_unbroken(run());
  }
}

// stderr is gone when a job is over: each log says why, and metrics.jsonl too.
TEST_F(GoingOn, WhyARunEndedIsInItsFolder) {
  RunningProcess process(rehearse_ranks_line(2, tiny_train(run())));
  ASSERT_TRUE(wait_for_step(process, run(), 12)) << process.err();
  const auto crashed = process_of_rank(process.id(), 1);
  ASSERT_TRUE(crashed.has_value());
  ASSERT_EQ(kill(*crashed, SIGSEGV), 0);
  process.wait(30);
  EXPECT_THAT(log_of(1), HasSubstr("error: ended by SIGSEGV, a crash at step "));
  EXPECT_THAT(process.err(), AllOf(HasSubstr("error: ended by SIGSEGV"), Not(HasSubstr("[ 0]")))) << "no stack trace";
  EXPECT_THAT(log_of(0), AllOf(HasSubstr("[rank 0] error: rank 0 of 2: step "), HasSubstr("rank 1 is gone")));
  EXPECT_THAT(read_text(run() / "metrics.jsonl"), HasSubstr("ended by rank 0: rank 0 of 2: step "));
  const ProcessResult refused = resume(2, {"--resume", "auto", "--set", "optimizer.lr=0.5"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(log_of(0), HasSubstr("error: " + (run() / "checkpoints").string()));
}

TEST_F(GoingOn, TheStepOfTheNewestCheckpointCanBeAskedFor) {
  const auto asked = [&] { return run_rehearse(tiny_train(run(), {"--resume", "auto", "--newest-step"})).out; };
  EXPECT_EQ(asked(), "0\n");
  EXPECT_FALSE(fs::exists(run())) << "nothing is begun";
  copy_unbroken();
  EXPECT_EQ(asked(), "60\n");
}

}  // namespace
}  // namespace rehearse
