// What `rehearse train` refuses before and at the start, in one line and with the right exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "tests/data/text/text_support.h"
#include "tests/support/tiny_run.h"
#include "trainer/base/config/config.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Refusals : public ::testing::Test {
 protected:
  fs::path run() const { return folder_.path() / "run"; }
  // One complaint that matches, exit code 2, on one rank and on two.
  void expect_refused(const std::vector<std::string>& line, const ::testing::Matcher<std::string>& matcher) {
    for (int ranks : {1, 2}) {
      SCOPED_TRACE(ranks);
      const ProcessResult result = ranks == 1 ? run_rehearse(line) : run_rehearse_ranks(ranks, line);
      EXPECT_EQ(result.exit_code, 2) << result.err;
      EXPECT_THAT(complaints(result.err), ::testing::ElementsAre(matcher)) << result.err;
    }
  }

  TemporaryFolder folder_{"refusals"};
};

TEST_F(Refusals, AnUnknownKeyNamesTheNearestKnownOne) {
  expect_refused(tiny_train(run(), {"--set", "optimizer.weight_decai=0.1"}),
                 AllOf(HasSubstr("optimizer.weight_decai"), HasSubstr("weight_decay")));
}

TEST_F(Refusals, AWrongTypeNamesTheKeyAndWhatWasFound) {
  expect_refused(tiny_train(run(), {"--set", "budget.steps=many"}),
                 AllOf(HasSubstr("budget.steps"), HasSubstr("many")));
}

TEST_F(Refusals, AValueOutOfRangeNamesTheRange) {
  expect_refused(tiny_train(run(), {"--set", "data.max_rejected_share=1.5"}),
                 AllOf(HasSubstr("data.max_rejected_share"), HasSubstr("1.5")));
}

TEST_F(Refusals, AValueOutOfRangeThatTheWatchdogNeedsIsSaidOnceToo) {
  expect_refused(tiny_train(run(), {"--set", "comm.timeout_s=0"}),
                 AllOf(HasSubstr("comm.timeout_s"), HasSubstr("0.5")));
}

TEST_F(Refusals, AMissingManifestIsNamed) {
  expect_refused(tiny_train(run(), {"--set", "data.train=[/nowhere/train.jsonl]"}),
                 AllOf(HasSubstr("data.train"), HasSubstr("/nowhere/train.jsonl")));
}

TEST_F(Refusals, AFolderThatCannotBeMadeIsNamed) {
  std::ofstream(folder_.path() / "file") << "no folder";
  const ProcessResult result = run_rehearse(tiny_train(folder_.path() / "file/run"));
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(complaints(result.err),
              ::testing::ElementsAre(AllOf(HasSubstr("file/run/log: expected a folder, there or to be made"),
                                           HasSubstr("Not a directory"))));
}

TEST_F(Refusals, PatienceWithoutValidationsIsRefused) {
  expect_refused(
      tiny_train(run(), {"--set", "validation.early_stop_patience=2", "--set", "validation.every_minutes=0"}),
      AllOf(HasSubstr("validation.early_stop_patience"), HasSubstr("nothing could stop early")));
}

// A domain whose files are not there ends the run instead of being left out draw by draw.
TEST_F(Refusals, ADomainWithoutItsFilesEndsTheRunOnceThatIsSure) {
  fs::copy(tiny_folder() / "loud_train.jsonl", folder_.path() / "loud_train.jsonl");
  const std::string data = "data.train=[" + (folder_.path() / "loud_train.jsonl").string() + "," +
                           (tiny_folder() / "soft_train.jsonl").string() + "]";
  for (const std::string type : {"curriculum", "uniform"}) {
    const ProcessResult result =
        run_rehearse_ranks(2, tiny_train(folder_.path() / type, {"--set", data, "--set", "curriculum.type=" + type}));
    EXPECT_EQ(result.exit_code, 3) << result.err;
    EXPECT_THAT(complaints(result.err),
                ::testing::ElementsAre(AllOf(HasSubstr("domain \"loud\": expected at most 20.0% unusable files"),
                                             HasSubstr("loud_train"), HasSubstr("data.max_rejected_share"))));
  }
}

TEST_F(Refusals, AMissingConfigurationIsNamed) {
  expect_refused({"train", (folder_.path() / "absent.yaml").string()}, HasSubstr("absent.yaml"));
}

TEST_F(Refusals, MicroBatchesThatRanksCannotShareAreRefused) {
  const ProcessResult result = run_rehearse_ranks(3, tiny_train(run()));
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(complaints(result.err), ::testing::ElementsAre(HasSubstr("batch.micro_batches"))) << result.err;
}

TEST_F(Refusals, AFolderInUseNamesItsUser) {
  RunningProcess first(rehearse_ranks_line(1, tiny_train(run())));
  ASSERT_TRUE(wait_for_step(first, run(), 2)) << first.err();
  const auto owner = process_of_rank(first.id(), 0);
  ASSERT_TRUE(owner.has_value());
  const ProcessResult second = run_rehearse(tiny_train(run(), {"--resume", "auto"}));
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_THAT(complaints(second.err), ::testing::ElementsAre(HasSubstr("process " + std::to_string(*owner))))
      << second.err;
}

TEST_F(Refusals, ANewRunInAFolderWithCheckpointsIsRefused) {
  // Rank 0 alone looks at the folder; the other may quote it.
  for (const auto& result : {run_rehearse(tiny_train(tiny_folder() / "unbroken")),
                             run_rehearse_ranks(2, tiny_train(tiny_folder() / "unbroken"))}) {
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(complaints(result.err), ::testing::Not(::testing::IsEmpty()));
    EXPECT_THAT(complaints(result.err), ::testing::Each(HasSubstr("add --resume auto"))) << result.err;
  }
}

class Resume : public Refusals {
 protected:
  // A copy of the unbroken run without its last checkpoint.
  Resume() {
    fs::copy(tiny_folder() / "unbroken", run(), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::remove_all(run() / "checkpoints/best");
    fs::remove_all(run() / "checkpoints/step-00000060");
  }
};

TEST_F(Resume, AnotherTrajectoryIsRefused) {
  const std::string before = text_of(run() / "config.yaml");
  expect_refused(tiny_train(run(), {"--resume", "auto", "--set", "optimizer.lr=0.5", "--set", "log.every_steps=3"}),
                 AllOf(HasSubstr("found optimizer.lr 0.5 instead of 0.02;"), HasSubstr("--init")));
  EXPECT_EQ(text_of(run() / "config.yaml"), before) << "the run keeps its configuration";
}

TEST_F(Resume, OtherRanksWarnAndStrictResumeRefuses) {
  const ProcessResult strict = run_rehearse(tiny_train(run(), {"--resume", "auto", "--strict-resume"}));
  EXPECT_EQ(strict.exit_code, 2);
  EXPECT_THAT(complaints(strict.err), ::testing::ElementsAre(HasSubstr("ranks"))) << strict.err;
  const ProcessResult loose = run_rehearse(tiny_train(run(), {"--resume", "auto"}));
  EXPECT_EQ(loose.exit_code, 0) << loose.err;
  EXPECT_THAT(loose.err, HasSubstr("resumed with other ranks: expected 2, found 1"));
}

TEST_F(Resume, StrictResumeOfTheSameRunGoesOn) {
  const ProcessResult result = run_rehearse_ranks(2, tiny_train(run(), {"--resume", "auto", "--strict-resume"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(final_bytes(run(), "model.safetensors") == final_bytes(tiny_folder() / "unbroken", "model.safetensors"));
}

TEST_F(Resume, OnlyDamagedCheckpointsAreADataError) {
  for (const auto& entry : fs::directory_iterator(run() / "checkpoints"))
    std::ofstream(entry.path() / "model.safetensors") << "damaged";
  const ProcessResult result = run_rehearse(tiny_train(run(), {"--resume", "auto"}));
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(complaints(result.err), ::testing::ElementsAre(HasSubstr("only damaged ones"))) << result.err;
}

TEST_F(Refusals, AFinishedRunThatIsResumedSaysSoAndChangesNothing) {
  fs::copy(tiny_folder() / "unbroken", run(), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  const ProcessResult result = run_rehearse_ranks(2, tiny_train(run(), {"--resume", "auto"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(final_bytes(run(), "model.safetensors") == final_bytes(tiny_folder() / "unbroken", "model.safetensors"));
}

void flatten(const ConfigValue& value, const std::string& path, std::map<std::string, std::string>& leaves) {
  if (value.kind == ConfigValue::Kind::kMap)
    for (const auto& [key, child] : value.map) flatten(*child, path.empty() ? key : path + "." + key, leaves);
  else if (value.kind == ConfigValue::Kind::kList)
    for (size_t i = 0; i < value.list.size(); ++i) flatten(*value.list[i], path + "." + std::to_string(i), leaves);
  else
    leaves[path] = value.scalar;
}

bool is_same_value(const std::string& a, const std::string& b) {
  if (a == b) return true;
  char *end_a = nullptr, *end_b = nullptr;
  const double x = std::strtod(a.c_str(), &end_a), y = std::strtod(b.c_str(), &end_b);
  return !a.empty() && !b.empty() && *end_a == 0 && *end_b == 0 && x == y;
}

// A default lives once, in code; configs/base.yaml only shows it.
TEST_F(Refusals, EveryDefaultOfBaseYamlIsTheOneInCode) {
  std::map<std::string, std::string> resolved[2];
  const std::string own = "data: {train: [" + (tiny_folder() / "loud_train.jsonl").string() +
                          "], tokenizer: " + (tiny_folder() / "characters.txt").string() +
                          "}\nmodel:\n  blocks: [{type: subsample, channels: 32, factor: 4}]\nbudget: {steps: 5}\n";
  for (int with_base : {0, 1}) {
    const fs::path path = folder_.path() / (with_base ? "with.yaml" : "without.yaml");
    std::ofstream(path) << (with_base ? "extends: " REHEARSE_SOURCE_DIR "/configs/base.yaml\n" : "") << own;
    const ProcessResult result = run_rehearse({"check", path.string(), "--plain"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    flatten(Config::parse(result.out).value(), "", resolved[with_base]);
  }
  EXPECT_GT(resolved[0].size(), 60u);
  for (const auto& [key, value] : resolved[1]) {
    ASSERT_TRUE(resolved[0].contains(key)) << key << " is in base.yaml, but nobody reads it by default";
    EXPECT_TRUE(is_same_value(resolved[0].at(key), value))
        << key << ": in code " << resolved[0].at(key) << ", in base.yaml " << value;
  }
  for (const auto& [key, value] : resolved[0]) EXPECT_TRUE(resolved[1].contains(key)) << key << " is not in base.yaml";
}

}  // namespace
}  // namespace rehearse
