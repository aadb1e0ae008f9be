#include "trainer/engine/run_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class RunOptionsTest : public ::testing::Test {
 protected:
  RunOptionsTest() {
    write_text(files_, path("train.jsonl"), "");
    write_text(files_, path("characters.txt"), "a\n");
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string needed() const {
    return "data: {train: [" + path("train.jsonl") + "], tokenizer: " + path("characters.txt") + "}\n";
  }
  std::string write(const std::string& text) {
    write_text(files_, path("run.yaml"), text);
    return path("run.yaml");
  }
  RunOptions read(const std::string& text, const std::vector<std::string>& overrides = {}) {
    Config config = Config::load(write(text), overrides);
    return RunOptions::from(config, path("run.yaml"));
  }
  std::string refusal(const std::string& text, const std::vector<std::string>& overrides = {}) {
    try {
      read(text, overrides);
      return "";
    } catch (const ConfigError& failure) {
      EXPECT_EQ(failure.exit_code(), 2);
      return failure.what();
    }
  }
  std::string hash(const std::vector<std::string>& overrides = {}) {
    return hash_of(needed() + "budget: {steps: 10}\n", overrides);
  }
  std::string hash_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
    Config config = Config::load(write(text), overrides);
    RunOptions::from(config, path("run.yaml"));
    return trajectory_hash(config);
  }

  TemporaryFolder folder_{"options"};
  FileLayer files_;
};

void flatten(const ConfigValue& value, const std::string& path, std::map<std::string, std::string>& leaves) {
  if (value.kind == ConfigValue::Kind::kMap)
    for (const auto& [key, child] : value.map) flatten(*child, path.empty() ? key : path + "." + key, leaves);
  else if (value.kind == ConfigValue::Kind::kList)
    for (size_t i = 0; i < value.list.size(); ++i) flatten(*value.list[i], concat(path, ".", i), leaves);
  else
    leaves[path] = value.scalar;
}

// 0.1 and 0.10 are one value.
bool is_same_value(const std::string& a, const std::string& b) {
  if (a == b) return true;
  char *end_a = nullptr, *end_b = nullptr;
  const double x = std::strtod(a.c_str(), &end_a), y = std::strtod(b.c_str(), &end_b);
  return !a.empty() && !b.empty() && *end_a == 0 && *end_b == 0 && x == y;
}

TEST_F(RunOptionsTest, ANormsGroupsAreOneKeyUnderBothNames) {
  const auto with = [&](const std::string& key) {
    return hash_of(needed() + "budget: {steps: 10}\nmodel: {blocks: [{type: conv, norm: group, " + key + "}]}\n");
  };
  EXPECT_EQ(with("norm_groups: 4"), with("groups: 4"));
  EXPECT_NE(with("norm_groups: 4"), with("norm_groups: 2"));
}

TEST_F(RunOptionsTest, KeysOfABlockThatCameLaterDoNotChangeTheTrajectoryOfOldRuns) {
  const auto with = [&](const std::string& keys) {
    return hash_of(needed() + "budget: {steps: 10}\nmodel: {blocks: [{type: separable" + keys + "}]}\n");
  };
  EXPECT_EQ(with(", shortcut: plain, bias: true"), with(""));
  EXPECT_NE(with(", shortcut: projected"), with(""));
  EXPECT_NE(with(", bias: false"), with(""));
}

TEST_F(RunOptionsTest, ConstantsThatBecameKeysDoNotChangeTheTrajectoryOfOldRuns) {
  const std::string usual = hash();
  for (const char* same :
       {"curriculum.good_median=0.20", "curriculum.cut_min=0.5", "curriculum.cut_mads=6.0", "curriculum.cut_max=0.9",
        "curriculum.strikes=2", "curriculum.quarantine_share=0.25", "curriculum.trim_max=0.08"})
    EXPECT_EQ(hash({same}), usual) << same;
  for (const char* other : {"curriculum.good_median=0.3", "curriculum.strikes=3", "curriculum.trim_max=0.1"})
    EXPECT_NE(hash({other}), usual) << other;
}

TEST_F(RunOptionsTest, DefaultsInCodeAreThoseOfBaseYaml) {
  Config bare = Config::load(write(needed() + "budget: {steps: 10}\n"));
  RunOptions::from(bare, path("run.yaml"));
  Config full = Config::load(std::string(REHEARSE_SOURCE_DIR) + "/configs/base.yaml");
  std::map<std::string, std::string> defaults, documented;
  flatten(bare.value(), "", defaults);
  flatten(full.value(), "", documented);
  int compared = 0;
  for (const auto& [key, value] : defaults) {
    if (key.starts_with("data.train") || key == "data.tokenizer" || key == "budget.steps") continue;
    ASSERT_TRUE(documented.contains(key)) << key << " has no line in configs/base.yaml";
    EXPECT_TRUE(is_same_value(value, documented.at(key)))
        << key << ": code " << value << ", base.yaml " << documented.at(key);
    ++compared;
  }
  EXPECT_GT(compared, 30);
}

TEST_F(RunOptionsTest, TheFileNamesTheRunFolder) {
  EXPECT_EQ(read(needed() + "budget: {steps: 1}").folder, "runs/run");
  EXPECT_EQ(read(needed() + "budget: {steps: 1}\nrun: {folder: elsewhere}").folder, "elsewhere");
}

TEST_F(RunOptionsTest, AWrongTypeNamesFileLineAndKey) {
  EXPECT_THAT(refusal(needed() + "budget: {steps: many}"),
              AllOf(HasSubstr("run.yaml:2"), HasSubstr("budget.steps"), HasSubstr("many")));
}

TEST_F(RunOptionsTest, AValueOutOfRangeNamesTheRange) {
  EXPECT_THAT(refusal(needed() + "budget: {steps: 1}\ncomm: {timeout_s: 0}"),
              AllOf(HasSubstr("run.yaml:3"), HasSubstr("comm.timeout_s"), HasSubstr("0.5")));
  EXPECT_THAT(refusal(needed() + "budget: {steps: 1}", {"data.loader.threads=0"}), HasSubstr("data.loader.threads"));
}

TEST_F(RunOptionsTest, WithoutABudgetThereIsNoRun) {
  for (const std::string base : {"", "extends: " REHEARSE_SOURCE_DIR "/configs/base.yaml\n"})
    EXPECT_THAT(refusal(base + needed()), HasSubstr("run.yaml: budget: expected one of budget.steps"));
}

TEST_F(RunOptionsTest, TheTrajectoryHashSeesWhatChangesTheTrajectory) {
  const std::string plain = hash();
  for (const char* change : {"seed=2", "optimizer.lr=0.5", "batch.seconds=60", "data.max_duration_s=10"})
    EXPECT_NE(hash({change}), plain) << change;
  const std::string with_rate = hash({"optimizer.lr=0.5"});
  for (const char* change : {"optimizer.reduce_dtype=bfloat16", "optimizer.ema_decay=0.9", "optimizer.guard.z_score=5",
                             "precision=bfloat16"})
    EXPECT_NE(hash({"optimizer.lr=0.5", change}), with_rate) << change;
}

TEST_F(RunOptionsTest, TheTrajectoryHashIgnoresTheRest) {
  const std::string plain = hash();
  for (const char* change : {"budget.steps=99", "log.every_steps=1", "checkpoint.every_steps=3", "comm.timeout_s=5",
                             "data.loader.threads=3", "run.folder=x", "validation.every_steps=7", "threads=2"})
    EXPECT_EQ(hash({change}), plain) << change;
  EXPECT_EQ(hash({"device=cuda"}), plain) << "a run may move to a GPU and back";
  EXPECT_EQ(hash({"device=cuda", "deterministic=false"}), plain);
  EXPECT_EQ(hash({"optimizer.lr=0.5", "optimizer.shard=true"}), hash({"optimizer.lr=0.5"}));
}

TEST_F(RunOptionsTest, TheTrajectoryHashIgnoresTheOrderOfKeys) {
  const std::string one = "seed: 3\noptimizer: {lr: 0.1, clip_norm: 2}\nbudget: {steps: 5}\n",
                    other = "budget: {steps: 5}\noptimizer: {clip_norm: 2, lr: 0.1}\n";
  EXPECT_EQ(hash_of(needed() + one), hash_of(other + needed() + "seed: 3\n"));
  EXPECT_NE(hash_of(needed() + one), hash_of(other + needed() + "seed: 4\n"));
}

// Its configuration knows none of the keys that came later; their defaults must not refuse it.
TEST(TrajectoryHash, OfAnOldCheckpointIsStillThatOfItsConfiguration) {
  const fs::path old = fs::path(REHEARSE_SOURCE_DIR) / "tests/golden/checkpoint_v1/step-00000160";
  Config config = Config::load((old / "config.yaml").string());
  const auto state = nlohmann::json::parse(read_text(old / "state.json"));
  const std::string saved = state.at("facts").at("trajectory_hash");
  EXPECT_TRUE(is_trajectory_of(config, saved));
  ConfigNode root = config.root(), optimizer = root.child("optimizer");
  root.boolean("deterministic", true);
  root.choice("precision", "float32", {"float32"});
  UpdateOptions::from(optimizer, Precision::kFull);
  optimizer.choice("reduce_dtype", "float32", {"float32", "bfloat16"});
  optimizer.texts("frozen", {});
  optimizer.child("lr_scale");
  EXPECT_TRUE(is_trajectory_of(config, saved));
  for (const char* change : {"device=cuda", "deterministic=false", "budget.steps=9"}) {
    Config moved = Config::load((old / "config.yaml").string(), {change});
    EXPECT_TRUE(is_trajectory_of(moved, saved)) << change;
    EXPECT_TRUE(is_trajectory_of(moved, trajectory_hash(config))) << change;
  }
  const Config other = Config::load((old / "config.yaml").string(), {"seed=99"});
  EXPECT_FALSE(is_trajectory_of(other, saved));
  EXPECT_FALSE(is_trajectory_of(other, trajectory_hash(config)));
}

}  // namespace
}  // namespace rehearse
