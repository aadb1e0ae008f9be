// Which checkpoint a run goes on from, what is said about it, and what is refused.
#include "trainer/engine/resume.h"

#include <gmock/gmock.h>

#include "tests/checkpoint/checkpoint_fixture.h"
#include "tests/support/fake_communicator.h"
#include "trainer/engine/run_facts.h"
#include "trainer/engine/run_options.h"

namespace rehearse {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kYaml = "seed: 1\noptimizer: {lr: 0.1}\nbudget: {steps: 60}\ncomm: {bucket_kb: 1024}\n";

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() { facts_["trajectory_hash"] = trajectory_hash(config_); }

  fs::path save(uint64_t step) {
    SmallCheckpoint small(step, 30);
    small.contents.state.values["facts"] = facts_;
    small.contents.files["config.yaml"] = config_.resolved();
    return save_checkpoint(small.contents, checkpoints(), files_);
  }
  // Another value in state.json, with checksums that fit it.
  void change_state(uint64_t step, const json::json_pointer& where, const json& value) {
    SmallCheckpoint small(step, 30);
    small.contents.state.values["facts"] = facts_;
    small.contents.state.values[where] = value;
    small.contents.files["config.yaml"] = config_.resolved();
    save_checkpoint(small.contents, checkpoints(), files_);
  }
  // Resumes as a later start that has `yaml`, `facts`.
  std::optional<Resumed> resume_as(const std::string& from, const std::string& yaml, json facts,
                                   bool is_strict = false) {
    const Config config = Config::parse(yaml);
    facts["trajectory_hash"] = trajectory_hash(config);
    Log log({log_path().string(), 0, false});
    return resume({.from = from,
                   .is_strict = is_strict,
                   .run = run(),
                   .config = config,
                   .facts = facts,
                   .load = [this](const LoadedCheckpoint& one) { loaded_.push_back(one.step); }},
                  communicator_, log);
  }
  std::optional<Resumed> resume_from(const std::string& from) { return resume_as(from, kYaml, facts_); }
  template <class Failure>
  std::string refusal(const std::string& from, const std::string& yaml, const json& facts, bool is_strict = false) {
    try {
      resume_as(from, yaml, facts, is_strict);
      return "nothing was refused";
    } catch (const Failure& failure) {
      return failure.what();
    }
  }
  std::string said() const { return read_text(log_path()); }
  fs::path run() const { return folder_.path() / "run"; }
  fs::path checkpoints() const { return run() / "checkpoints"; }
  fs::path log_path() const { return folder_.path() / "log"; }

  TemporaryFolder folder_{"resume"};
  FileLayer files_;
  FakeCommunicator communicator_{1};
  Config config_ = Config::parse(kYaml);
  json facts_ = {
      {"threads", 2},    {"ranks", 1},
      {"device", "cpu"}, {"versions", {{"soxr", "0.1.3"}}},
      {"corpus", "abc"}, {"machines", json::array({{{"cpu", "One"}, {"libraries", {{"libm.so.6", "build a"}}}}})}};
  std::vector<uint64_t> loaded_;
};

TEST_F(ResumeTest, AutoTakesTheNewestAndAFolderWithNoneIsANewRun) {
  EXPECT_FALSE(resume_from("auto").has_value());
  for (uint64_t step : {10, 20}) save(step);
  mark_best(checkpoints() / "step-00000010", files_);
  EXPECT_EQ(resume_from("auto")->step, 20u);
  EXPECT_THAT(said(), Not(HasSubstr("warning")));
}

TEST_F(ResumeTest, ARunFolderMeansItsNewestNotItsBest) {
  for (uint64_t step : {10, 20}) save(step);
  mark_best(checkpoints() / "step-00000010", files_);
  for (const fs::path& from : {run(), checkpoints()}) EXPECT_EQ(resume_from(from.string())->step, 20u) << from;
  EXPECT_THAT(refusal<DataError>((folder_.path() / "none").string(), kYaml, facts_),
              HasSubstr("none: expected a checkpoint or a run folder with one; found none"));
}

// The fault: killed after such a resume, auto went back to the newer one that was given up.
TEST_F(ResumeTest, AnOlderCheckpointThatWasResumedStaysTheOneForAuto) {
  for (uint64_t step : {10, 20, 30}) save(step);
  EXPECT_EQ(resume_from((checkpoints() / "step-00000010").string())->step, 10u);
  EXPECT_THAT(said(), HasSubstr("aside-step-00000030 came after step 10"));
  EXPECT_EQ(resume_from("auto")->step, 10u);
  save(20);
  EXPECT_EQ(resume_from("auto")->step, 20u);
  EXPECT_THAT(names_in(checkpoints()),
              ElementsAre("aside-step-00000020", "aside-step-00000030", "step-00000010", "step-00000020"));
}

TEST_F(ResumeTest, ADamagedOneIsSaidAndTheOneBeforeIsTaken) {
  for (uint64_t step : {10, 20}) save(step);
  overwrite(checkpoints() / "step-00000020/model.safetensors", {});
  EXPECT_EQ(resume_from("auto")->step, 10u);
  EXPECT_THAT(said(), AllOf(HasSubstr("checkpoint refused, trying the one before: "),
                            HasSubstr("step-00000020/model.safetensors: expected ")));
  overwrite(checkpoints() / "step-00000010/model.safetensors", {});
  EXPECT_THAT(refusal<DataError>("auto", kYaml, facts_), HasSubstr("step-00000010/model.safetensors"));
}

// Checksums fit, and yet no run wrote this: each is a DataError that names the file, and the one before is taken.
TEST_F(ResumeTest, WrongTypesInTheFactsAreDamage) {
  save(10);
  const std::vector<json> values = {nullptr, 5, "text", json::array({1}), json::object(), true, -1, 1.5};
  int refused = 0;
  for (const char* where : {"/facts", "/facts/trajectory_hash", "/facts/corpus", "/facts/machines", "/facts/threads",
                            "/facts/versions", "/facts/machines/0", "/facts/averaged_from"})
    for (const json& value : values) {
      SCOPED_TRACE(concat(where, " ", value.dump()));
      fs::remove(log_path());
      change_state(20, json::json_pointer(where), value);
      std::optional<Resumed> resumed;
      try {
        resumed = resume_from("auto");
      } catch (const ConfigError&) {  // another trajectory, or an average: those are answers
        continue;
      } catch (const DataError& failure) {
        EXPECT_THAT(failure.what(), HasSubstr("expected the training data")) << "only a corpus is compared";
        continue;
      }
      ASSERT_TRUE(resumed.has_value());
      if (resumed->step == 20) continue;  // a difference that is only worth a warning
      ++refused;
      EXPECT_THAT(said(), HasSubstr("step-00000020/state.json"));
    }
  EXPECT_GE(refused, 20);
}

TEST_F(ResumeTest, WhatTheTrainerCannotLoadIsRefusedToo) {
  for (uint64_t step : {10, 20}) save(step);
  Log log({log_path().string(), 0, false});
  const auto resumed = resume({.from = "auto",
                               .run = run(),
                               .config = config_,
                               .facts = facts_,
                               .load =
                                   [](const LoadedCheckpoint& one) {
                                     if (one.step == 20) throw DataError("checkpoint: sampler: it is damaged");
                                   }},
                              communicator_, log);
  EXPECT_EQ(resumed->step, 10u);
  EXPECT_THAT(said(), HasSubstr("step-00000020: checkpoint: sampler: it is damaged"));
}

TEST_F(ResumeTest, AnotherConfigurationOrCorpusIsNoDamage) {
  for (uint64_t step : {10, 20}) save(step);
  EXPECT_THAT(refusal<ConfigError>("auto", "seed: 1\noptimizer: {lr: 0.5}\nbudget: {steps: 60}\n", facts_),
              AllOf(HasSubstr("step-00000020/state.json"), HasSubstr("optimizer.lr 0.5 instead of 0.1")));
  json other = facts_;
  other["corpus"] = "abd";
  EXPECT_THAT(refusal<DataError>("auto", kYaml, other), HasSubstr("found other examples or another content"));
  EXPECT_THAT(loaded_, ::testing::IsEmpty());
}

TEST_F(ResumeTest, ARunMayMoveToAnotherDevice) {
  save(10);
  json moved = facts_;
  moved["device"] = "cuda";
  EXPECT_EQ(resume_as("auto", std::string("device: cuda\n") + kYaml, moved)->step, 10u);
  EXPECT_THAT(said(), HasSubstr("resumed with other device: expected cpu, found cuda; the result is not bit-exact"));
}

// Whatever changes bits: strict refuses each by name, and without it each is a warning.
TEST_F(ResumeTest, StrictResumeNamesEverythingThatIsNotBitExact) {
  save(10);
  const auto changed = [&](const char* where, const json& value) {
    json facts = facts_;
    facts[json::json_pointer(where)] = value;
    return facts;
  };
  const std::map<std::string, json> facts = {
      {"threads: expected 2, found 4", changed("/threads", 4)},
      {"ranks: expected 1, found 2", changed("/ranks", 2)},
      {"device: expected cpu, found cuda", changed("/device", "cuda")},
      {"versions: soxr: expected 0.1.3, found 0.1.4", changed("/versions/soxr", "0.1.4")},
      {"cpu: expected One, found Two", changed("/machines/0/cpu", "Two")},
      {"instructions: expected not stored, found avx2", changed("/machines/0/instructions", "avx2")},
      {"gpu: expected not stored, found H100, driver 1", changed("/machines/0/gpu", "H100, driver 1")},
      {"libraries: libm.so.6: expected build a, found build b", changed("/machines/0/libraries/libm.so.6", "build b")},
      {"libraries: libcudnn.so: expected not stored, found 9", changed("/machines/0/libraries/libcudnn.so", "9")},
  };
  EXPECT_EQ(refusal<ConfigError>("auto", kYaml, facts_, true), "nothing was refused");
  for (const auto& [name, now] : facts) {
    EXPECT_THAT(refusal<ConfigError>("auto", kYaml, now, true),
                AllOf(HasSubstr("resumed with other " + name), HasSubstr("--strict-resume")));
    fs::remove(log_path());
    EXPECT_TRUE(resume_as("auto", kYaml, now).has_value());
    EXPECT_THAT(said(), HasSubstr("resumed with other " + name));
  }
}

TEST_F(ResumeTest, AChangedBudgetIsNamedWithWhatFollowsIt) {
  save(10);
  const std::string longer = "seed: 1\noptimizer: {lr: 0.1}\nbudget: {steps: 100}\ncomm: {bucket_kb: 1024}\n";
  EXPECT_TRUE(resume_as("auto", longer, facts_).has_value());
  EXPECT_THAT(said(), AllOf(HasSubstr("budget.steps: expected 60, found 100"), HasSubstr("learning rate")));
  EXPECT_THAT(refusal<ConfigError>("auto", longer, facts_, true), HasSubstr("budget.steps"));
}

// On the CPU every sum is made in the order of ranks, whatever the buckets; NCCL adds by position in the bucket.
TEST_F(ResumeTest, OtherBucketsCountWhereADeviceAdds) {
  json facts = facts_;
  facts["ranks"] = 2;
  const std::string other = "seed: 1\noptimizer: {lr: 0.1}\nbudget: {steps: 60}\ncomm: {bucket_kb: 512}\n";
  EXPECT_TRUE(setting_differences(kYaml, other, false).empty());
  const auto found = setting_differences(kYaml, other, true);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, "comm.bucket_kb");
}

TEST_F(ResumeTest, ACheckpointFromBeforeMachinesWereStoredSaysThat) {
  const json now = facts_;
  facts_.erase("machines");
  save(10);
  EXPECT_THAT(refusal<ConfigError>("auto", kYaml, now, true), HasSubstr("machines: expected not stored, found One"));
  EXPECT_TRUE(resume_as("auto", kYaml, now).has_value());
}

TEST(RunFacts, KnowTheProcessorAndTheLibrariesThatAreLoaded) {
  const json facts = machine_facts({{"gpu", "none"}});
  EXPECT_EQ(facts.at("gpu"), "none");
  EXPECT_NE(facts.at("cpu"), "");
  EXPECT_THAT(facts.at("libraries"), ::testing::Contains(HasSubstr("build "))) << facts.dump(1);
  EXPECT_TRUE(facts.at("libraries").contains("libm.so.6") || facts.at("libraries").contains("libc.so.6"));
  EXPECT_EQ(machine_facts({{"gpu", "none"}}), facts) << "the same machine says the same";
}

}  // namespace
}  // namespace rehearse
