// What all verbs share, and the verbs that make and move data, through the binary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Verb : public ::testing::TestWithParam<const char*> {};

TEST_P(Verb, HelpShowsWholeCommandLines) {
  const ProcessResult result = run_rehearse({GetParam(), "--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("Examples:\n"));
  EXPECT_THAT(result.out, HasSubstr(std::string("rehearse ") + GetParam() + " "));
}

TEST_P(Verb, AnUnknownOptionIsOneLineAndExitCode2) {
  const ProcessResult result = run_rehearse({GetParam(), "--no-such-option"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, StartsWith("rehearse: "));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST(CommandLine, AMisspeltVerbNamesTheNearestOne) {
  const ProcessResult result = run_rehearse({"trian", "run.yaml"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("found \"trian\"; did you mean \"train\"?"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST(CommandLine, TheVersionSaysHowTheProgramWasBuilt) {
  const ProcessResult result = run_rehearse({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, StartsWith("rehearse "));
  EXPECT_THAT(result.out, ::testing::ContainsRegex("\n  CUDA plug-in: (on|off)"));
  EXPECT_THAT(result.out, ::testing::ContainsRegex("\n  sanitizers: [a-z]"));
  EXPECT_THAT(result.out, ::testing::ContainsRegex("\n  flags: .*-ffp-contract=fast.*, sampler -ffp-contract=off\n"));
}

INSTANTIATE_TEST_SUITE_P(All, Verb,
                         ::testing::Values("train", "check", "doctor", "model", "bench", "evaluate", "transcribe",
                                           "checkpoint", "tokenizer", "import", "pack", "report", "synth"),
                         [](const auto& info) { return std::string(info.param); });

TEST(NumberOptions, SayWhatWasExpectedAndFound) {
  const struct {
    std::vector<std::string> line;
    std::string complaint;
  } cases[] = {
      {{"checkpoint", "verify", "run", "--step", "-7"}, "--step: expected a whole number of at least 0; found -7"},
      {{"checkpoint", "verify", "run", "--step", "abc"}, "--step: expected a whole number of at least 0; found abc"},
      {{"checkpoint", "verify", "run", "--step", "1.5"}, "--step: expected a whole number of at least 0; found 1.5"},
      {{"train", "run.yaml", "--profile", "0"}, "--profile: expected a whole number of at least 1; found 0"},
      {{"synth", "c.yaml", "--out", "c", "--utterances", "0"}, "--utterances: expected a whole number of at least 1"},
      {{"pack", "m.jsonl", "--out", "p", "--shard-mb", "x"}, "expected a whole number from 1 to 1024; found x"},
      {{"transcribe", "run", "a.wav", "--window", "nan"}, "--window: expected a number from 0.5 to 3600; found nan"},
      {{"bench", "comm", "--min", "2G"}, "--min: expected a whole number from 4 to 1073741824; found 2147483648"},
  };
  for (const auto& one : cases) {
    const ProcessResult result = run_rehearse(one.line);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(one.complaint));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_THAT(run_rehearse({"synth", "--help"}).out, HasSubstr("at least 1"));
}

// Reference and hypothesis of every line.
std::vector<std::string> heard(const std::string& lines) {
  std::vector<std::string> pairs;
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    const nlohmann::json entry = nlohmann::json::parse(line);
    pairs.push_back(entry["reference"].get<std::string>() + "|" + entry["hypothesis"].get<std::string>());
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

class Commands : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  TemporaryFolder folder_{"commands"};
};

TEST_F(Commands, TokenizerWritesAVocabularyAndWhatItFits) {
  const ProcessResult result = run_rehearse(
      {"tokenizer", (toy_folder() / "loud_train.jsonl").string(), "--kind", "char", "--out", path("c.txt")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("tokens                   5 (without blank)"));
  EXPECT_THAT(read_text(path("c.txt")), HasSubstr("\na\nb\nc\nd\n"));
}

TEST_F(Commands, AnOutputThatCannotBeWrittenIsFoundBeforeTheWork) {
  const std::string run = (toy_folder() / "run").string(), manifest = (toy_folder() / "loud_train.jsonl").string();
  const std::string config = (toy_folder() / "config.yaml").string();
  const std::vector<std::vector<std::string>> lines = {{"tokenizer", manifest, "--kind", "char", "--out"},
                                                       {"transcribe", run, path("absent.wav"), "--logits"},
                                                       {"quarantine", run, "--out"},
                                                       {"report", run, "--out"},
                                                       {"doctor", config, "--list"},
                                                       {"bench", "comm", "--max", "4K", "--json"}};
  for (std::vector<std::string> line : lines) {
    SCOPED_TRACE(line[0]);
    const std::string option = line.back();
    line.push_back(path("absent/out.txt"));
    const ProcessResult result = run_rehearse(line);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr("rehearse: " + option + ": expected a file in a folder that is there; found no"));
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(Commands, AMissingManifestIsADataErrorForEveryVerb) {
  const std::string run = (toy_folder() / "run").string(), absent = path("absent.jsonl");
  const std::vector<std::vector<std::string>> lines = {{"evaluate", run, "--manifest", absent},
                                                       {"tokenizer", absent, "--out", path("c.txt")},
                                                       {"pack", absent, "--out", path("packed")}};
  for (const std::vector<std::string>& line : lines) {
    const ProcessResult result = run_rehearse(line);
    EXPECT_EQ(result.exit_code, 3) << line[0];
    EXPECT_THAT(result.err, HasSubstr("absent.jsonl: expected a readable file; found No such file or directory"))
        << line[0];
  }
}

TEST_F(Commands, TokenizerNamesTheOptionThatIsWrong) {
  const std::string manifest = (toy_folder() / "loud_train.jsonl").string();
  for (const std::string option : {"--kind", "--normalizer"}) {
    const ProcessResult result = run_rehearse({"tokenizer", manifest, option, "word", "--out", path("c.txt")});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, StartsWith("rehearse: " + option + ": expected one of "));
  }
}

TEST_F(Commands, ImportWritesAManifestThatOthersRead) {
  write_wav(path("a.wav"), toy_audio("abc"));
  std::ofstream(path("nemo.json")) << R"({"audio_filepath": "a.wav", "text": "abc", "duration": 0.8})"
                                   << "\n"
                                   << R"({"audio_filepath": "b.wav", "text": "abc", "duration": 0.8})"
                                   << "\n";
  const ProcessResult result =
      run_rehearse({"import", "nemo", path("nemo.json"), "--out", path("imported"), "--domain", "calls"});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.out, StartsWith("1 of 2 (50.0 %) left out, all in "));
  EXPECT_THAT(result.out, HasSubstr("imported 1 utterances"));
  EXPECT_THAT(result.err, HasSubstr("imported: expected at most 20.0 % left out; found 50.0 % (1 of 2), the first "));
  EXPECT_THAT(result.err, HasSubstr("raise --max-rejected-share"));
  EXPECT_EQ(run_rehearse({"import", "nemo", path("nemo.json"), "--out", path("imported"), "--domain", "calls",
                          "--max-rejected-share", "0.5"})
                .exit_code,
            0);
  EXPECT_THAT(read_text(path("imported/manifest.jsonl")), HasSubstr("calls"));
  EXPECT_THAT(result.out, HasSubstr("imported/nemo.jsonl: 1 utterances"));
  EXPECT_EQ(read_text(path("imported/nemo.jsonl")), read_text(path("imported/manifest.jsonl")));
}

TEST_F(Commands, APackThatLeavesOutTooMuchSaysSoAndKeepsTheRest) {
  write_wav(path("a.wav"), toy_audio("abc"));
  std::ofstream(path("half.jsonl")) << R"({"audio_filepath": "a.wav", "text": "abc", "domain": "d", "duration": 0.4})"
                                    << "\n"
                                    << R"({"audio_filepath": "b.wav", "text": "abc", "domain": "d", "duration": 0.4})"
                                    << "\n";
  const ProcessResult result = run_rehearse({"pack", path("half.jsonl"), "--out", path("half")});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.out, StartsWith("1 of 2 (50.0 %) left out, all in "));
  EXPECT_THAT(result.err, HasSubstr("half: expected at most 20.0 % left out; found 50.0 %"));
  EXPECT_EQ(run_rehearse({"pack", path("half.jsonl"), "--out", path("half"), "--max-rejected-share", "0.5"}).exit_code,
            0);
}

TEST_F(Commands, AManifestWhosePathHasACommaIsTakenWhole) {
  const std::string run = (toy_folder() / "run").string();
  fs::create_directories(path("a,b"));
  for (const char* name : {"a,b/one,two.jsonl", "a,b/three.jsonl"})
    fs::copy_file(toy_folder() / "v/loud_valid.jsonl", path(name));
  const ProcessResult both =
      run_rehearse({"evaluate", run, "--manifest", path("a,b/one,two.jsonl") + "," + path("a,b/three.jsonl"),
                    "--batch-seconds", "20"});
  EXPECT_THAT(both.err, ::testing::Not(HasSubstr("No such file or directory"))) << both.err;
  const ProcessResult absent = run_rehearse({"evaluate", run, "--manifest", path("x.jsonl") + "," + path("y.jsonl")});
  EXPECT_EQ(absent.exit_code, 3);
  EXPECT_THAT(absent.err, HasSubstr("x.jsonl: expected a readable file"));
}

TEST_F(Commands, APackIsScoredLikeItsFiles) {
  const std::string manifest = (toy_folder() / "v/loud_valid.jsonl").string(), run = (toy_folder() / "run").string();
  const ProcessResult pack = run_rehearse({"pack", manifest, "--out", path("packed"), "--encoding", "int16"});
  ASSERT_EQ(pack.exit_code, 0) << pack.err;
  EXPECT_THAT(pack.out, HasSubstr("packed 6 utterances"));
  EXPECT_THAT(pack.out, HasSubstr("(0 were there already, 0 texts updated)"));
  const auto figures = [&](const std::string& set) {
    const ProcessResult result = run_rehearse({"evaluate", run, "--manifest", set, "--hypotheses", path("said.jsonl")});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_text(path("said.jsonl"));
  };
  EXPECT_EQ(heard(figures(manifest)), heard(figures(path("packed/manifest.jsonl"))));
}

TEST_F(Commands, VerifyAcceptsAWholeCheckpointAndRefusesAChangedByte) {
  fs::create_directories(path("run"));
  fs::copy(toy_folder() / "run/checkpoints", path("run/checkpoints"),
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  const ProcessResult whole = run_rehearse({"checkpoint", "verify", path("run")});
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_THAT(whole.out, HasSubstr("whole; step 160"));
  EXPECT_THAT(whole.out, HasSubstr("model.safetensors"));
  std::fstream file(path("run/checkpoints/step-00000160/model.safetensors"), std::ios::in | std::ios::out);
  file.seekp(2000);
  file.put('!').put('?');
  file.close();
  const ProcessResult torn = run_rehearse({"checkpoint", "verify", path("run")});
  EXPECT_EQ(torn.exit_code, 3);
  EXPECT_THAT(torn.err, HasSubstr("model.safetensors: expected the SHA-256"));
}

TEST_F(Commands, InspectShowsStepFactsAndParameters) {
  const ProcessResult result = run_rehearse({"checkpoint", "inspect", (toy_folder() / "run").string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part :
       {"step 160", "progress", "draws", "trajectory_hash", "front-end", "blocks.0", "blocks.1", "head"})
    EXPECT_THAT(result.out, HasSubstr(part));
}

}  // namespace
}  // namespace rehearse
