// What must not change a run: how many ranks share the optimizer's state, and how many ranks there are.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "tests/support/tiny_run.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

class Worlds : public ::testing::Test {
 protected:
  fs::path folder(const std::string& name) const { return folder_.path() / name; }
  void train(int ranks, const std::string& name, std::vector<std::string> more) {
    const ProcessResult result = run_rehearse_ranks(ranks, tiny_train(folder(name), std::move(more)));
    ASSERT_EQ(result.exit_code, 0) << name << " on " << ranks << " ranks: " << result.err;
  }
  std::vector<double> losses(const std::string& name) const {
    std::vector<double> found;
    std::ifstream lines(folder(name) / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line);
      if (record.at("kind") == "step") found.push_back(record.at("loss_per_token"));
    }
    return found;
  }
  std::string text(const std::string& name, const char* file) const {
    std::ifstream in(folder(name) / file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  TemporaryFolder folder_{"worlds"};
};

// Everything that the update can do at once; a constant rate, so that a run may end early and go on.
std::vector<std::string> everything(std::vector<std::string> more) {
  for (const char* setting : {"schedule={type: constant, warmup_share: 0}", "optimizer.ema_decay=0.99",
                              "optimizer.guard.z_score=6", "optimizer.lr_scale={head: 0.5}"}) {
    more.emplace_back("--set");
    more.emplace_back(setting);
  }
  return more;
}

// Neither owns the two processors: each computes with one thread, however large the machine is.
TEST_F(Worlds, TwoRanksUnderOneCpusetDivideIt) {
  std::vector<std::string> line = {"taskset", "-c", "0,1"};
  for (const std::string& word :
       rehearse_ranks_line(2, tiny_train(folder("confined"), {"--set", "threads=0", "--set", "budget.steps=2"})))
    line.push_back(word);
  const ProcessResult result = run_process(line);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("2 rank(s), 1 thread(s) each"), std::string::npos) << result.err;
}

TEST_F(Worlds, ShardedOptimizerStateGivesTheSameBitsOnTwoRanks) {
  train(2, "whole", everything({}));
  train(2, "sharded", everything({"--set", "optimizer.shard=true"}));
  for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"})
    EXPECT_EQ(final_bytes(folder("whole"), file), final_bytes(folder("sharded"), file)) << file;
}

TEST_F(Worlds, ShardedOptimizerStateGivesTheSameBitsOnFourRanks) {
  train(4, "whole", everything({}));
  train(4, "sharded", everything({"--set", "optimizer.shard=true"}));
  for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"})
    EXPECT_EQ(final_bytes(folder("whole"), file), final_bytes(folder("sharded"), file)) << file;
}

// From 16 blocks of the norm's sum a rank on (2 million parameters), ranks get the sums of their own slices alone.
TEST_F(Worlds, LargeModelsReduceSlicesAloneToTheSameBits) {
  const auto large = [](std::vector<std::string> more) {
    more.insert(
        more.end(),
        {"--set", "model.blocks=[{type: subsample, channels: 768, factor: 4}, {type: separable, channels: 256}]",
         "--set", "budget.steps=6", "--set", "comm.bucket_kb=512", "--set", "checkpoint.every_steps=3", "--profile",
         "2"});
    return everything(more);
  };
  for (const char* dtype : {"float32", "bfloat16"}) {
    const std::string name = dtype, reduce = "optimizer.reduce_dtype=" + name;
    train(2, name + "-whole", large({"--set", reduce}));
    train(2, name + "-sharded", large({"--set", reduce, "--set", "optimizer.shard=true"}));
    train(2, name + "-broken", large({"--set", reduce, "--set", "optimizer.shard=true", "--set", "budget.steps=3"}));
    train(2, name + "-broken", large({"--set", reduce, "--set", "optimizer.shard=true", "--resume", "auto"}));
    for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"}) {
      const auto of = [&](const char* run) {
        return text(name + run, ("checkpoints/step-00000006/" + std::string(file)).c_str());
      };
      ASSERT_FALSE(of("-whole").empty());
      EXPECT_TRUE(of("-whole") == of("-sharded")) << file;
      EXPECT_TRUE(of("-whole") == of("-broken")) << file;
    }
    EXPECT_NE(text(name + "-sharded", "profile/rank-0.json").find("reduce_scatter"), std::string::npos);
    EXPECT_EQ(text(name + "-whole", "profile/rank-0.json").find("reduce_scatter"), std::string::npos);
  }
}

TEST_F(Worlds, ARoundedRunResumesBitForBitWithAndWithoutSharding) {
  const auto rounded = [](std::vector<std::string> more) {
    more.insert(more.end(), {"--set", "optimizer.reduce_dtype=bfloat16"});
    return everything(more);
  };
  train(2, "unbroken", rounded({}));
  train(2, "broken", rounded({"--set", "optimizer.shard=true", "--set", "budget.steps=35"}));
  train(2, "broken", rounded({"--resume", "auto"}));
  for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"})
    EXPECT_EQ(final_bytes(folder("unbroken"), file), final_bytes(folder("broken"), file)) << file;
  train(2, "exact", everything({}));
  EXPECT_NE(final_bytes(folder("unbroken"), "model.safetensors"), final_bytes(folder("exact"), "model.safetensors"))
      << "rounding changes something";
}

TEST_F(Worlds, TheBitsDoNotDependOnTheBuckets) {
  train(4, "small", everything({"--set", "comm.bucket_kb=1"}));
  train(4, "large", everything({"--set", "comm.bucket_kb=1024"}));
  for (const char* file : {"model.safetensors", "ema.safetensors"})
    EXPECT_EQ(final_bytes(folder("small"), file), final_bytes(folder("large"), file)) << file;
}

TEST_F(Worlds, InLowerPrecisionARunLearnsAndResumesBitForBit) {
  train(2, "float32", everything({}));
  for (const char* precision : {"bfloat16", "float16"}) {
    const std::string name = precision;
    const auto with = [&](std::vector<std::string> more) {
      more.insert(more.end(), {"--set", "precision=" + name});
      // Grows every ten updates until gradients overflow: the scale must be restored as well.
      if (name == "float16") more.insert(more.end(), {"--set", "optimizer.loss_scale={growth_updates: 10}"});
      return everything(more);
    };
    train(2, name, with({}));
    train(2, name + "-broken", with({"--set", "budget.steps=35"}));
    train(2, name + "-broken", with({"--resume", "auto"}));
    EXPECT_EQ(final_bytes(folder(name), "model.safetensors"),
              final_bytes(folder(name + "-broken"), "model.safetensors"));
    EXPECT_NE(final_bytes(folder(name), "model.safetensors"), final_bytes(folder("float32"), "model.safetensors"));
    EXPECT_NEAR(losses(name).back(), losses("float32").back(), 0.1 * losses("float32").front());
    EXPECT_LT(losses(name).back(), 0.7 * losses(name).front());
    const auto state = nlohmann::json::parse(final_bytes(folder(name), "state.json"));
    EXPECT_EQ(state.contains("loss_scale"), name == "float16");
  }
}

// One rank to step 20, four to step 40, two to the end.
void train_on_one_four_two(const std::function<void(int, std::vector<std::string>)>& train,
                           const std::vector<std::string>& settings) {
  const int worlds[] = {1, 4, 2};
  const char* ends[] = {"budget.steps=20", "budget.steps=40", "budget.steps=60"};
  for (int i = 0; i < 3; ++i) {
    std::vector<std::string> more = settings;
    more.insert(more.end(), {"--set", ends[i], "--resume", "auto"});
    train(worlds[i], more);
  }
}

std::vector<std::string> uniform_settings() {
  return {"--set", "schedule={type: constant, warmup_share: 0}",
          "--set", "curriculum={type: uniform, max_repeats: 0}",
          "--set", "optimizer.lr=0.002",
          "--set", "log.observations=true"};
}

// From one checkpoint on another number of ranks: the sums differ in their last bits alone.
TEST_F(Worlds, LossesAgreeForTwentyStepsAfterTheNumberOfRanksChanges) {
  auto until = [](const char* steps) {
    std::vector<std::string> more = uniform_settings();
    more.insert(more.end(), {"--set", steps, "--resume", "auto"});
    return more;
  };
  train(2, "steady", until("budget.steps=20"));
  for (const char* name : {"one", "four"})
    fs::copy(folder("steady"), folder(name), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  train(2, "steady", until("budget.steps=40"));
  train(1, "one", until("budget.steps=40"));
  train(4, "four", until("budget.steps=40"));
  const std::vector<double> steady = losses("steady");
  ASSERT_EQ(steady.size(), 40u);
  for (const char* name : {"one", "four"}) {
    const std::vector<double> changed = losses(name);
    ASSERT_EQ(changed.size(), 40u);
    for (size_t step = 20; step < 40; ++step)
      EXPECT_NEAR(changed[step] / steady[step], 1, 1e-4) << "step " << step << " on " << name;
  }
}

TEST_F(Worlds, UniformDrawsAreTheSameFromOneToFourToTwoRanks) {
  const std::vector<std::string> settings = uniform_settings();
  train(2, "steady", settings);
  // The replay refuses a step in which other utterances are drawn.
  std::vector<std::string> again = settings;
  again.insert(again.end(), {"--replay-observations", (folder("steady") / "observations.jsonl").string()});
  train_on_one_four_two([&](int ranks, const std::vector<std::string>& more) { train(ranks, "changing", more); },
                        again);
  EXPECT_EQ(text("steady", "observations.jsonl"), text("changing", "observations.jsonl"));
}

TEST_F(Worlds, CurriculumDrawsAreTheSameGivenTheSameObservations) {
  const std::vector<std::string> settings = {"--set", "schedule={type: constant, warmup_share: 0}", "--set",
                                             "log.observations=true"};
  train(2, "steady", settings);
  std::vector<std::string> replaying = settings;
  replaying.insert(replaying.end(), {"--set", "data.loader.threads=8"});
  replaying.insert(replaying.end(), {"--replay-observations", (folder("steady") / "observations.jsonl").string()});
  train_on_one_four_two([&](int ranks, const std::vector<std::string>& more) { train(ranks, "changing", more); },
                        replaying);
  EXPECT_EQ(text("steady", "observations.jsonl"), text("changing", "observations.jsonl"))
      << "utterances, their order and what steered them";
}

TEST_F(Worlds, AReplayOfOtherDrawsIsRefusedAsData) {
  const std::vector<std::string> settings = {"--set", "log.observations=true", "--set", "budget.steps=4"};
  train(1, "first", settings);
  std::vector<std::string> other = settings;
  other.insert(other.end(),
               {"--set", "seed=2", "--replay-observations", (folder("first") / "observations.jsonl").string()});
  const ProcessResult result = run_rehearse(tiny_train(folder("other"), other));
  EXPECT_EQ(result.exit_code, 3);
  ASSERT_EQ(complaints(result.err).size(), 1u) << result.err;
  EXPECT_NE(complaints(result.err)[0].find("another configuration, seed or corpus?"), std::string::npos);
}

}  // namespace
}  // namespace rehearse
