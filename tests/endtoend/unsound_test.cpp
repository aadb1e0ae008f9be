// Runs whose state is not sound: updates that are not finite, ranks that differ. Nothing of it is saved or called
// success.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "tests/support/tiny_run.h"
#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Unsound : public ::testing::Test {
 protected:
  fs::path folder(const std::string& name) const { return folder_.path() / name; }
  ProcessResult train(const std::string& name, std::vector<std::string> settings,
                      const std::vector<std::string>& more = {}) {
    std::vector<std::string> line;
    for (std::string& setting : settings) line.insert(line.end(), {"--set", std::move(setting)});
    line.insert(line.end(), more.begin(), more.end());
    return run_rehearse_ranks(2, tiny_train(folder(name), std::move(line)));
  }
  std::vector<fs::path> checkpoints(const std::string& name) const {
    return list_checkpoints(folder(name) / "checkpoints");
  }
  TemporaryFolder folder_{"unsound"};
};

const char* const kNormed =
    "model.blocks=[{type: subsample, channels: 32, factor: 4, norm: batch}, {type: separable, channels: 32, kernel: 9, "
    "dropout: 0.2, norm: batch, norm_group: micro_batch}]";
// Gradients overflow until the scale has been halved some times.
const char* const kOverflow = "optimizer.loss_scale={initial: 16777216, growth_updates: 10}";

TEST_F(Unsound, ADivergedRunEndsWithItsReasonAndKeepsTheLastGoodCheckpoint) {
  const ProcessResult result =
      train("diverged",
            {"optimizer.lr=900", "optimizer.clip_norm=0", "optimizer.max_left_out=25", "checkpoint.every_steps=1",
             "checkpoint.keep_last=1", "checkpoint.keep_best=false", "schedule={type: constant, warmup_share: 0}"});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(complaints(result.err),
              ElementsAre(AllOf(HasSubstr("optimizer.max_left_out: expected fewer than 25"), HasSubstr(" on rank "),
                                HasSubstr("the last good checkpoint is "), HasSubstr("lower optimizer.lr"))));
  const auto kept = checkpoints("diverged");
  ASSERT_EQ(kept.size(), 2u) << "the newest and the last good one";
  EXPECT_THAT(result.err, HasSubstr(kept[1].filename().string() + " and is kept"));
  const LoadedCheckpoint good = load_checkpoint(kept[1], true), degraded = load_checkpoint(kept[0], true);
  EXPECT_EQ(good.state.values.at("progress").at("not_finite_in_row"), 0);
  EXPECT_GT(degraded.state.values.at("progress").at("not_finite_in_row"), 20);
  // A resumed run remembers.
  const ProcessResult again =
      train("diverged",
            {"optimizer.lr=900", "optimizer.clip_norm=0", "optimizer.max_left_out=25", "checkpoint.every_steps=1",
             "checkpoint.keep_last=1", "checkpoint.keep_best=false", "schedule={type: constant, warmup_share: 0}"},
            {"--resume", "auto"});
  EXPECT_EQ(again.exit_code, 2) << again.err;
  EXPECT_TRUE(fs::exists(kept[1]));
}

TEST_F(Unsound, ARunWithoutOneUpdateIsNoSuccess) {
  const ProcessResult result = train("nothing", {"precision=float16", kOverflow, "budget.steps=2"});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(complaints(result.err),
              ElementsAre(HasSubstr("budget: expected at least one update to be applied; found none in 2")));
}

TEST_F(Unsound, OverflowsInFloat16LeaveBatchNormAloneAndTheRunResumesToTheSameBits) {
  const std::vector<std::string> settings = {"precision=float16", kOverflow, kNormed,
                                             "schedule={type: constant, warmup_share: 0}"};
  const auto with = [&](const char* more) {
    std::vector<std::string> all = settings;
    all.emplace_back(more);
    return all;
  };
  const ProcessResult whole = train("whole", settings);
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(train("broken", with("budget.steps=25")).exit_code, 0);
  EXPECT_EQ(train("broken", settings, {"--resume", "auto"}).exit_code, 0);
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_EQ(final_bytes(folder("whole"), file), final_bytes(folder("broken"), file)) << file;
  const LoadedCheckpoint last = load_checkpoint(checkpoints("whole").front(), true);  // finite, or it would be refused
  EXPECT_GT(last.state.values.at("progress").at("skipped"), 2) << "there were overflows";
  EXPECT_LT(last.state.values.at("loss_scale").at("factor"), 16777216);
}

// Each rank begins from other weights, as after a flipped bit.
TEST_F(Unsound, RanksThatDifferAreNamedAndNothingIsSaved) {
  const auto line_from = [&](const char* step) {
    return tiny_train(folder("differ"), {"--set", "curriculum={type: uniform}", "--set", "comm.checksum_every_steps=0",
                                         "--init", (tiny_folder() / "unbroken/checkpoints" / step).string()});
  };
  std::vector<std::string> line = rehearse_ranks_line(1, line_from("step-00000060"));
  const std::vector<std::string> other = rehearse_ranks_line(1, line_from("step-00000050"));
  const auto program =
      std::find_if(other.begin(), other.end(), [](const std::string& word) { return word == "train"; }) - 1;
  line.insert(line.end(), {":", "-n", "1"});
  line.insert(line.end(), program, other.end());
  const ProcessResult result =
      run_process(line, {.environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}},
                         .folder = "",
                         .timeout_s = 120});
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_THAT(result.err,
              HasSubstr("step 10: expected equal weights and optimizer state on all ranks; found rank 1 different"));
  EXPECT_TRUE(checkpoints("differ").empty());
}

TEST_F(Unsound, AnEmptyValidationSetIsRefusedAtTheStart) {
  const std::string empty = (folder_.path() / "empty.jsonl").string();
  std::ofstream(empty).flush();
  const ProcessResult result = train("empty", {"data.valid=[" + empty + "]"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(complaints(result.err), ElementsAre(HasSubstr("empty.jsonl: expected utterances to validate on")));
}

TEST_F(Unsound, AValidationSetOfWhichNothingIsUsableIsRefusedAtTheStart) {
  const std::string path = (folder_.path() / "long.jsonl").string();
  std::ofstream(path) << R"({"audio_filepath": "a.wav", "text": "a b", "duration": 4000, "domain": "soft"})"
                      << "\n";
  const ProcessResult result = train("unusable", {"data.valid=[" + path + "]", "data.max_rejected_share=1"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(complaints(result.err),
              ElementsAre(AllOf(HasSubstr("data.valid: expected at least one usable"), HasSubstr("a.wav"))));
}

}  // namespace
}  // namespace rehearse
