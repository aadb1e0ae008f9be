// Checkpoints written beside training: killed in the middle of a write, a full disk, a disk that fails, a stop signal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <iostream>

#include "tests/data/text/text_support.h"
#include "tests/endtoend/unbroken.h"
#include "tests/support/toy_run.h"
#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kSteps = 10, kSaveEvery = 2;

// A model of 0.84 million parameters: its checkpoint of 10 MB takes long enough to be met half-written.
void make(const fs::path& folder) {
  const std::string at = folder.string() + "/";
  write_toy_set(folder, "train.jsonl", "loud", toy_texts(24, 1));
  const ProcessResult made =
      run_rehearse({"tokenizer", at + "train.jsonl", "--kind", "char", "--out", at + "characters.txt"});
  if (made.exit_code != 0) throw std::runtime_error("no tokenizer: " + made.err);
  std::ofstream(folder / "config.yaml") << "threads: 1\n"
                                        << "data: {train: [" << at << "train.jsonl], tokenizer: " << at
                                        << "characters.txt}\n"
                                        << "features: {channels: 16}\n"
                                        << "model:\n  blocks:\n    - {type: subsample, channels: 16, factor: 4}\n"
                                        << "    - {type: conv, channels: 400, kernel: 5, dropout: 0.1}\n"
                                        << "    - {type: conv, channels: 400, kernel: 5}\n"
                                        << "batch: {seconds: 10, micro_batches: 2}\n"
                                        << "curriculum: {max_repeats: 0, lag_steps: 4, window_steps: 2}\n"
                                        << "budget: {steps: " << kSteps << "}\n"
                                        << "checkpoint: {every_steps: " << kSaveEvery
                                        << ", every_minutes: 0, keep_last: 2, keep_best: false}\n"
                                        << "log: {every_steps: 1}\n";
  const ProcessResult result =
      run_rehearse({"train", (folder / "config.yaml").string(), "--set", "run.folder=" + at + "unbroken"});
  if (result.exit_code != 0) throw std::runtime_error("the unbroken run failed: " + result.err);
}

const fs::path& middle_folder() {
  static const fs::path kFolder = made_once("middle_run", make);
  return kFolder;
}

class Saving : public ::testing::Test {
 protected:
  fs::path run() const { return folder_.path() / "run"; }
  fs::path checkpoints() const { return run() / "checkpoints"; }
  std::vector<std::string> train(std::vector<std::string> more = {}) const {
    std::vector<std::string> line = {"train", (middle_folder() / "config.yaml").string(), "--set",
                                     "run.folder=" + run().string()};
    line.insert(line.end(), more.begin(), more.end());
    return line;
  }
  std::vector<std::string> binary(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), REHEARSE_BINARY);
    return arguments;
  }
  void expect_same_as_unbroken() const {
    const fs::path last = "checkpoints/step-00000010";
    const LoadedCheckpoint found = load_checkpoint(run() / last, true),
                           expected = load_checkpoint(middle_folder() / "unbroken" / last, true);
    for (const auto& [name, tensor] : expected.model) EXPECT_TRUE(found.model.at(name).values == tensor.values) << name;
    for (const auto& [name, tensor] : expected.optimizer)
      EXPECT_TRUE(found.optimizer.at(name).values == tensor.values) << name;
  }
  // Everything that has the name of a checkpoint is whole.
  void expect_no_torn(const fs::path& folder) const {
    for (const fs::path& one : list_checkpoints(folder)) EXPECT_NO_THROW(verify_checkpoint(one)) << one;
  }

  TemporaryFolder folder_{"saving"};
};

TEST_F(Saving, TheNoteTellsTheStallAndTheTimeOfTheWrite) {
  middle_folder();
  const ProcessResult result = run_rehearse(train());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, ContainsRegex("saved .*step-00000010 \\(stall [0-9]+ ms, written in [0-9]+ ms\\)"));
  std::ifstream metrics(run() / "metrics.jsonl");
  const std::string text{std::istreambuf_iterator<char>(metrics), {}};
  for (const char* step : {"step-00000002", "step-00000004", "step-00000010"})
    EXPECT_THAT(text, HasSubstr(std::string(step) + " (stall "));
  expect_same_as_unbroken();
}

// Killed as soon as a file of the fourth step's checkpoint appears; the writer is then in the middle of it.
TEST_F(Saving, AKillInTheMiddleOfAWriteResumesFromThePreviousToTheSameBits) {
  middle_folder();
  int met_half_written = 0;
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "MANIFEST.json"}) {
    fs::remove_all(run());
    RunningProcess process(binary(train()));
    const fs::path target = checkpoints() / ".step-00000004.tmp" / file, done = checkpoints() / "step-00000004";
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!fs::exists(target) && !fs::exists(done) && std::chrono::steady_clock::now() < end) {
    }
    ASSERT_EQ(kill(process.id(), SIGKILL), 0);
    EXPECT_EQ(process.wait(10).signal, SIGKILL);
    const bool is_half_written = !fs::exists(done);
    met_half_written += is_half_written;
    EXPECT_NE(fs::exists(target.parent_path()), fs::exists(done)) << "one of the two names is there";
    expect_no_torn(checkpoints());
    const ProcessResult resumed = run_rehearse(train({"--resume", "auto"}));
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_THAT(resumed.err,
                HasSubstr("resumed from " + (is_half_written ? checkpoints() / "step-00000002" : done).string()));
    EXPECT_THAT(resumed.err, Not(HasSubstr("checkpoint refused"))) << "nothing half-written counts as a checkpoint";
    expect_same_as_unbroken();
    EXPECT_FALSE(fs::exists(target.parent_path())) << "what the crash left is gone";
  }
  std::cout << met_half_written << " of 3 kills met a half-written checkpoint\n";
  EXPECT_GE(met_half_written, 1);
}

TEST_F(Saving, AStopSignalDuringAWriteEndsAfterACompleteSave) {
  middle_folder();
  RunningProcess process(binary(train()));
  ASSERT_TRUE(wait_until(60, [&] { return fs::exists(checkpoints() / ".step-00000002.tmp") || process.is_over(); }));
  ASSERT_EQ(kill(process.id(), SIGTERM), 0);
  const ProcessResult result = process.wait(30);
  ASSERT_EQ(result.exit_code, 75) << result.err;
  expect_no_torn(checkpoints());
  const fs::path newest = list_checkpoints(checkpoints()).at(0);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("saved " + newest.string()),
                    HasSubstr("stopped by a signal at step " + std::to_string(load_checkpoint(newest, false).step))));
  const ProcessResult resumed = run_rehearse(train({"--resume", "auto"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_same_as_unbroken();
}

// Files above 2 MB cannot be written: the same as an I/O error in the middle of a write.
TEST_F(Saving, AFailingWriteEndsTheRunWithExitCode4AndItsReason) {
  middle_folder();
  std::vector<std::string> line = {"sh", "-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"};
  for (const std::string& part : binary(train())) line.push_back(part);
  const ProcessResult result = run_process(line);
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_THAT(complaints(result.err),
              Contains(AllOf(HasSubstr(".step-00000002.tmp/model.safetensors: expected to write "),
                             HasSubstr("File too large"))))
      << result.err;
  EXPECT_LE(last_step(run()), 4) << "the next save raises it at the latest";
  EXPECT_TRUE(list_checkpoints(checkpoints()).empty());
}

// A file system of a few MB in a mount namespace of its own; what it held is copied out before it goes.
class FullDisk : public Saving {
 protected:
  static bool can_mount() {
    return run_process({"unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"}).exit_code == 0;
  }
  ProcessResult run_on_disk(const std::string& size, const std::vector<std::string>& arguments) const {
    fs::create_directories(checkpoints());
    const std::string script =
        "folder=$1; mount -t tmpfs -o size=$2 none \"$folder\" || exit 99; shift 2; \"$@\"; code=$?; "
        "cp -a \"$folder\" \"$folder.saved\"; exit $code";
    std::vector<std::string> line = {"unshare", "-m", "sh", "-c", script, "sh", checkpoints().string(), size};
    line.insert(line.end(), arguments.begin(), arguments.end());
    return run_process(line);
  }
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "mounting a small file system is not allowed here: a full disk was NOT tried";
  }
  fs::path saved() const { return run() / "checkpoints.saved"; }
};

// Two checkpoints of 10 MB fit, the third does not; keep_last is 2, so the first two stay.
TEST_F(FullDisk, IsRefusedBeforeTheWriteWithNeedAndRoomAndTheLastCheckpointLoads) {
  middle_folder();
  const ProcessResult result = run_on_disk("28m", binary(train()));
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_THAT(complaints(result.err),
              Contains(ContainsRegex("checkpoints: expected room for 1[0-9]{7} bytes of a checkpoint; found [0-9]{7}; "
                                     "free some space")))
      << result.err;
  std::vector<std::string> refused;
  const auto newest = load_newest(saved(), refused);
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->step, 4u);
  EXPECT_TRUE(refused.empty());
}

// Each try comes to the same save and fails: the second one shows that, and nobody waits for a third.
TEST_F(FullDisk, IsNotTriedAgainAndAgainByRestarts) {
  tiny_folder();
  const auto started = std::chrono::steady_clock::now();
  const ProcessResult result =
      run_on_disk("1750k", through_launcher(2, tiny_train(run(), {"--set", "checkpoint.keep_last=99"}),
                                            {"--restarts", "5", "--pause", "0"}));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("restart 1 of 5"), HasSubstr("no restart: expected a checkpoint later than")));
  const auto saved_steps = list_checkpoints(saved());
  ASSERT_FALSE(saved_steps.empty());
  EXPECT_THAT(result.err, AllOf(HasSubstr("later than step " + std::to_string(*step_of(saved_steps[0])) + ","),
                                Not(HasSubstr("restart 3 of 5"))))
      << result.err;
  for (const fs::path& one : saved_steps) EXPECT_NO_THROW(verify_checkpoint(one)) << one;
  RecordProperty("exit", std::to_string(result.exit_code));
  RecordProperty("seconds", std::to_string(seconds.count()));
  for (const std::string& line : complaints(result.err))
    if (line.find("expected room") != std::string::npos) RecordProperty("message", line);
  if (!HasFailure()) RecordProperty("resumed", "not tried a third time");
}

TEST_F(FullDisk, EndsAllRanksTogether) {
  tiny_folder();
  const auto started = std::chrono::steady_clock::now();
  const ProcessResult result = run_on_disk("1400k", rehearse_ranks_line(2, tiny_train(run())));
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(30));
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_THAT(complaints(result.err), Contains(AllOf(HasSubstr("rank 0: "), HasSubstr("expected room for "))))
      << result.err;
  std::vector<std::string> refused;
  EXPECT_TRUE(load_newest(saved(), refused).has_value());
  EXPECT_TRUE(refused.empty());
}

}  // namespace
}  // namespace rehearse
