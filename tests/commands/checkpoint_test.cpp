// `rehearse checkpoint` diff and average through the binary, old format versions, and weights read in plain Python.
#include "trainer/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <iostream>

#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/tiny_run.h"
#include "tests/support/toy_run.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string golden(int version) {
  return std::string(REHEARSE_SOURCE_DIR) + "/tests/golden/checkpoint_v" + std::to_string(version) + "/step-00000160";
}

std::string tiny(int step) {
  return (tiny_folder() / "unbroken/checkpoints/step-000000").string() + std::to_string(step);
}

class CheckpointVerb : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  // One line on stderr that has all the parts.
  static void expect_refusal(const ProcessResult& result, int code, const std::vector<std::string>& parts) {
    EXPECT_EQ(result.exit_code, code);
    EXPECT_THAT(result.err, StartsWith("rehearse: "));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& part : parts) EXPECT_THAT(result.err, HasSubstr(part));
  }
  // A copy of a checkpoint with other contents, whole in itself.
  std::string changed(const std::string& from, const std::string& name,
                      const std::function<void(LoadedCheckpoint&)>& change) const {
    LoadedCheckpoint loaded = load_checkpoint(from, true);
    change(loaded);
    CheckpointContents contents;
    contents.step = loaded.step;
    for (const auto& [key, tensor] : loaded.model) contents.model.push_back({key, tensor.shape, tensor.values});
    for (const auto& [key, tensor] : loaded.optimizer) contents.optimizer.push_back({key, tensor.shape, tensor.values});
    contents.state = loaded.state;
    contents.files = loaded.files;
    contents.files.erase("state.json");
    FileLayer files;
    return write_checkpoint(contents, path(name), files).string();
  }

  TemporaryFolder folder_{"checkpoint_verb"};
};

TEST_F(CheckpointVerb, OldVersionsTranscribeLikeTheNewest) {
  write_wav(path("a.wav"), toy_audio("dca dbbb cab", 0.6f));
  for (int version : {1, 2}) {
    const ProcessResult result = run_rehearse({"transcribe", golden(version), path("a.wav")});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\tdca dbbb cab\n"));
  }
}

TEST_F(CheckpointVerb, DiffOfEqualWeightsIs0WhateverElseDiffers) {
  const std::string other = changed(tiny(60), "other", [](LoadedCheckpoint& one) {
    one.state.values["facts"]["ranks"] = 7;
    one.files["config.yaml"] += "extra: {key: [1, 2]}\n";
  });
  const ProcessResult same = run_rehearse({"checkpoint", "diff", tiny(60), tiny(60)});
  EXPECT_EQ(same.exit_code, 0) << same.err;
  EXPECT_THAT(same.out, AllOf(HasSubstr("0 of "), Not(HasSubstr("configuration")), Not(HasSubstr("facts"))));
  const ProcessResult result = run_rehearse({"checkpoint", "diff", tiny(60), other});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("0 of "), ::testing::ContainsRegex("extra.key\\[1\\] +absent +2\n"),
                                ::testing::ContainsRegex("ranks +2 +7\n")));
}

TEST_F(CheckpointVerb, DiffShowsEachTensorsDistanceAndIs3) {
  const std::string other = changed(tiny(60), "other", [](LoadedCheckpoint& one) {
    for (float& value : one.model.at("head.bias").values) value = 3;
    one.model.at("head.bias").values[1] = 4;
    one.optimizer.at("exp_avg").values[0] += 1;
    one.state.arrays.at("sampler.ids").bytes[0] ^= std::byte{1};
  });
  const std::string base = changed(other, "base", [](LoadedCheckpoint& one) {
    for (float& value : one.model.at("head.bias").values) value = 3;
  });
  ProcessResult result = run_rehearse({"checkpoint", "diff", base, other});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_EQ(result.err, "");
  // 6 values of 3, one becomes 4: 1 / sqrt(6 * 9) = 0.136.
  EXPECT_THAT(result.out, ::testing::ContainsRegex("head.bias +1 +0.136 +different\n"));
  EXPECT_THAT(result.out, HasSubstr("1 of "));
  result = run_rehearse({"checkpoint", "diff", tiny(60), other});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("2 of "), ::testing::ContainsRegex("optimizer exp_avg .* different\n"),
                                HasSubstr("sampler arrays that differ: sampler.ids\n")));
}

TEST_F(CheckpointVerb, DiffCountsOtherShapesAndMissingTensors) {
  const std::string other = changed(tiny(60), "other", [](LoadedCheckpoint& one) {
    one.model.at("head.bias").shape = {2, 3};
    one.model["more"] = {{1}, {0.5f}};
  });
  const ProcessResult result = run_rehearse({"checkpoint", "diff", tiny(60), other});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.out, AllOf(::testing::ContainsRegex("head.bias .* other shape\n"),
                                ::testing::ContainsRegex("more .* only in b\n"), HasSubstr("2 of ")));
}

TEST_F(CheckpointVerb, AverageIsTheMeanOfWeightsWithTheRestOfTheNewest) {
  const ProcessResult result =
      run_rehearse({"checkpoint", "average", tiny(60), tiny(40), tiny(50), "--out", path("mean")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const LoadedCheckpoint mean = load_checkpoint(path("mean"), true), newest = load_checkpoint(tiny(60), true);
  const LoadedCheckpoint b = load_checkpoint(tiny(40), false), c = load_checkpoint(tiny(50), false);
  ASSERT_EQ(mean.model.size(), newest.model.size());
  for (const auto& [name, tensor] : mean.model)
    for (size_t i = 0; i < tensor.values.size(); ++i)
      ASSERT_FLOAT_EQ(tensor.values[i],
                      (newest.model.at(name).values[i] + b.model.at(name).values[i] + c.model.at(name).values[i]) / 3)
          << name;
  EXPECT_EQ(mean.step, 60u);
  EXPECT_TRUE(mean.optimizer.empty());
  EXPECT_EQ(mean.files.at("tokenizer.txt"), newest.files.at("tokenizer.txt"));
  EXPECT_EQ(mean.state.arrays.at("sampler.ids").bytes, newest.state.arrays.at("sampler.ids").bytes);
  EXPECT_EQ(mean.state.values.at("facts").at("averaged_from").size(), 3u);
  EXPECT_EQ(run_rehearse({"checkpoint", "verify", path("mean")}).exit_code, 0);
}

TEST_F(CheckpointVerb, AnAverageOfEqualOnesIsBitEqual) {
  const std::string twin = changed(tiny(60), "twin", [](LoadedCheckpoint&) {});
  ASSERT_EQ(run_rehearse({"checkpoint", "average", tiny(60), twin, "--out", path("mean/")}).exit_code, 0);
  const LoadedCheckpoint mean = load_checkpoint(path("mean"), true), one = load_checkpoint(tiny(60), true);
  for (const auto& [name, tensor] : one.model) EXPECT_EQ(mean.model.at(name).values, tensor.values) << name;
}

TEST_F(CheckpointVerb, AnAverageIsEvaluatedTranscribedAndStartedFromButNotResumed) {
  const std::string run = (tiny_folder() / "unbroken").string(), mean = path("mean");
  const ProcessResult made = run_rehearse({"checkpoint", "average", run, "--last", "2", "--out", mean});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("the mean of 2 checkpoints"));
  const ProcessResult scored =
      run_rehearse({"evaluate", mean, "--manifest", (tiny_folder() / "v/soft_valid.jsonl").string()});
  EXPECT_EQ(scored.exit_code, 0) << scored.err;
  write_wav(path("a.wav"), toy_audio("abcd"));
  const ProcessResult heard = run_rehearse({"transcribe", mean, path("a.wav")});
  EXPECT_EQ(heard.exit_code, 0) << heard.err;
  const ProcessResult started = run_rehearse(tiny_train(path("run"), {"--init", mean, "--set", "budget.steps=2"}));
  EXPECT_EQ(started.exit_code, 0) << started.err;
  EXPECT_THAT(started.err, HasSubstr("started from the weights of " + mean));
  expect_refusal(run_rehearse(tiny_train(path("run2"), {"--resume", mean})), 2,
                 {"mean/state.json", "found the average of 2 checkpoints", "--init"});
}

TEST_F(CheckpointVerb, AverageRefusesOtherModelsInOneLine) {
  const std::string features = changed(tiny(60), "features", [](auto& one) { one.files["front_end.json"] += " "; });
  const std::string letters = changed(tiny(60), "letters", [](auto& one) { one.files["tokenizer.txt"] += "e\n"; });
  const std::string config = changed(tiny(60), "config", [](auto& one) {
    std::string& yaml = one.files["config.yaml"];
    yaml.replace(yaml.find("activation: relu"), 16, "activation: silu");
  });
  const std::string shape = changed(tiny(60), "shape", [](auto& one) { one.model.at("head.bias").shape = {2, 3}; });
  const std::vector<std::pair<std::string, std::string>> cases = {{features, "another front_end.json"},
                                                                  {letters, "another tokenizer.txt"},
                                                                  {config, "activation silu instead of relu"},
                                                                  {shape, "another shape of head.bias"}};
  for (const auto& [other, reason] : cases) {
    expect_refusal(run_rehearse({"checkpoint", "average", tiny(50), other, "--out", path("mean")}), 2,
                   {other, tiny(50), reason});
    EXPECT_FALSE(fs::exists(path("mean")));
  }
}

TEST_F(CheckpointVerb, AverageRefusesWhatIsNoAverageInOneLine) {
  const std::string run = (tiny_folder() / "unbroken").string();
  expect_refusal(run_rehearse({"checkpoint", "average", tiny(60), "--out", path("m")}), 2, {"at least 2"});
  expect_refusal(run_rehearse({"checkpoint", "average", tiny(60), tiny(60), "--out", path("m")}), 2, {"twice"});
  expect_refusal(run_rehearse({"checkpoint", "average", run, "--last", "9", "--out", path("m")}), 3,
                 {"at least 9 checkpoints", "found 3"});
  expect_refusal(run_rehearse({"checkpoint", "average", tiny(60), tiny(50)}), 2, {"--out"});
  expect_refusal(run_rehearse({"checkpoint", "average", tiny(60), tiny(50), "--out", tiny(50)}), 2, {"new folder"});
  expect_refusal(run_rehearse({"checkpoint", "diff", tiny(60)}), 2, {"expected 2 checkpoints; found 1"});
  expect_refusal(run_rehearse({"checkpoint", "inspect", tiny(60), tiny(50)}), 2, {"expected 1 checkpoint; found 2"});
  expect_refusal(run_rehearse({"checkpoint", "verify", tiny(60), "--last", "2"}), 2, {"average"});
}

// Every tensor as the Python program prints it.
void expect_equal_to_python(const std::vector<std::string>& line, const LoadedCheckpoint& loaded) {
  const ProcessResult result = run_process(line);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json tensors = nlohmann::json::parse(result.out);
  ASSERT_EQ(tensors.size(), loaded.model.size());
  for (const auto& [name, tensor] : loaded.model) {
    std::vector<uint32_t> bits;
    for (float value : tensor.values) bits.push_back(std::bit_cast<uint32_t>(value));
    EXPECT_EQ(tensors.at(name).at("shape").get<std::vector<int64_t>>(), tensor.shape) << name;
    EXPECT_TRUE(tensors.at(name).at("bits").get<std::vector<uint32_t>>() == bits) << name;
  }
}

TEST_F(CheckpointVerb, WeightsAreReadInPlainPython) {
  const std::string script = std::string(REHEARSE_SOURCE_DIR) + "/tests/golden/checkpoint/read_weights.py";
  const std::string peer = std::string(REHEARSE_SOURCE_DIR) + "/.deps/python/bin/python";
  const std::string python = fs::exists(peer) ? peer : "python3";
  if (run_process({"sh", "-c", python + " -c pass"}).exit_code != 0)
    GTEST_SKIP() << "there is no Python here: weights were NOT read with it";
  const std::string weights = tiny(60) + "/model.safetensors";
  const LoadedCheckpoint loaded = load_checkpoint(tiny(60), false);
  expect_equal_to_python({python, script, weights}, loaded);
  if (run_process({python, "-c", "import safetensors.numpy"}).exit_code == 0)
    expect_equal_to_python({python, script, "--package", weights}, loaded);
  else
    std::cout << "the safetensors package is not installed: the file was NOT read with it\n";
}

}  // namespace
}  // namespace rehearse
