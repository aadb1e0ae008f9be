// rehearse evaluate through the binary: the same figures in every world, and files that others read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/text/scoring.h"
#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Evaluate : public ::testing::Test {
 protected:
  std::vector<std::string> line(const std::string& manifests, const std::string& json_name) const {
    return {"evaluate", (toy_folder() / "run").string(), "--manifest", manifests, "--json", path(json_name)};
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  static std::string both() {
    return (toy_folder() / "v/loud_valid.jsonl").string() + "," + (toy_folder() / "v/soft_valid.jsonl").string();
  }
  // A set whose texts hold two letters more than was said.
  std::string mistaken() const {
    write_toy_set(folder_.path(), "mistaken.jsonl", "mistaken", toy_texts(5, 8));
    std::string text = read_text(path("mistaken.jsonl"));
    const std::string mark = "\"text\": \"";
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1))
      text.insert(at + mark.size(), "dd");
    std::ofstream(path("mistaken.jsonl")) << text;
    return path("mistaken.jsonl");
  }
  json read(const std::string& name) const { return json::parse(read_text(path(name))); }

  TemporaryFolder folder_{"evaluate"};
};

TEST_F(Evaluate, FiguresAreEqualOnOneAndTwoRanks) {
  const std::string manifests = both() + "," + mistaken();
  const ProcessResult one = run_rehearse(line(manifests, "1.json"));
  ASSERT_EQ(one.exit_code, 0) << one.err;
  const ProcessResult two = run_rehearse_ranks(2, line(manifests, "2.json"));
  ASSERT_EQ(two.exit_code, 0) << two.err;
  EXPECT_EQ(read_text(path("1.json")), read_text(path("2.json")));
  EXPECT_EQ(one.out, two.out);
  EXPECT_THAT(one.out, HasSubstr("basic/2"));
  EXPECT_GT(read("1.json")["sets"][2]["cer"], 0.05) << "there are errors to agree on";
}

TEST_F(Evaluate, TheModelHasLearnedAndTheSumsAgree) {
  ASSERT_EQ(run_rehearse(line((toy_folder() / "v/loud_valid.jsonl").string() + "," + mistaken(), "out.json")).exit_code,
            0);
  const json result = read("out.json");
  ASSERT_EQ(result["sets"].size(), 2u);
  double macro = 0;
  for (const json& set : result["sets"]) {
    EXPECT_EQ(set["utterances"], set["utterance_results"].size());
    int64_t edits = 0, length = 0;
    for (const json& one : set["utterance_results"]) {
      edits += one["edits"].get<int64_t>();
      length += one["length"].get<int64_t>();
      EXPECT_THAT(one["audio_filepath"].get<std::string>(), HasSubstr(".wav"));
      EXPECT_EQ(one["id"].get<std::string>().size(), 17u);
    }
    EXPECT_EQ(length, set["reference_length"]);
    EXPECT_EQ(edits,
              set["substitutions"].get<int64_t>() + set["deletions"].get<int64_t>() + set["insertions"].get<int64_t>());
    EXPECT_DOUBLE_EQ(set["cer"].get<double>(), static_cast<double>(edits) / static_cast<double>(length));
    EXPECT_LE(set["cer_low"], set["cer"]);
    EXPECT_GE(set["cer_high"], set["cer"]);
    macro += set["cer"].get<double>() / 2;
  }
  EXPECT_DOUBLE_EQ(result["macro_cer"].get<double>(), macro);
  EXPECT_LT(result["sets"][0]["cer"], 0.2) << "the toy model reads tones";
  EXPECT_EQ(result["sets"][0]["training"], "domain") << "its utterances are new, its domain is not";
  EXPECT_EQ(result["sets"][0]["in_training"], true);
  EXPECT_GT(result["sets"][1]["deletions"], 0) << "its texts say more than its audio";
}

// Two sets of equal names and durations, and so equal ids; the second is silence.
class EvaluateTwins : public Evaluate {
 protected:
  EvaluateTwins() {
    write_toy_set(folder_.path() / "clean", "set.jsonl", "loud", toy_texts(6, 3));
    write_toy_set(folder_.path() / "silent", "set.jsonl", "loud", toy_texts(6, 3));
    silence("silent");
  }
  void silence(const std::string& name) const {
    for (const auto& entry : fs::directory_iterator(folder_.path() / name))
      if (entry.path().extension() == ".wav")
        write_wav(entry.path(), std::vector<float>((fs::file_size(entry.path()) - 44) / 2, 0.0f));
  }
  std::vector<double> cers(const std::vector<std::string>& manifests) const {
    std::string joined;
    for (const std::string& manifest : manifests) joined += (joined.empty() ? "" : ",") + path(manifest);
    const ProcessResult result = run_rehearse(line(joined, "out.json"));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const json written = read("out.json");
    std::vector<double> found;
    for (const json& set : written["sets"]) found.push_back(set["cer"]);
    return found;
  }
};

TEST_F(EvaluateTwins, EachOfTwoSetsWithEqualIdsIsScoredByItsOwnAudio) {
  const double clean = cers({"clean/set.jsonl"}).at(0), silent = cers({"silent/set.jsonl"}).at(0);
  EXPECT_LT(clean, 0.2);
  EXPECT_GT(silent, 0.8);
  EXPECT_EQ(cers({"clean/set.jsonl", "silent/set.jsonl"}), (std::vector<double>{clean, silent}));
  EXPECT_EQ(cers({"silent/set.jsonl", "clean/set.jsonl"}), (std::vector<double>{silent, clean}));
}

TEST_F(EvaluateTwins, APackIsScoredByItsOwnAudioBesideASourceThatHasChanged) {
  ASSERT_EQ(run_rehearse({"pack", path("clean/set.jsonl"), "--out", path("packed")}).exit_code, 0);
  silence("clean");
  const std::vector<double> both = cers({"clean/set.jsonl", "packed/manifest.jsonl"});
  EXPECT_GT(both.at(0), 0.8);
  EXPECT_LT(both.at(1), 0.2);
}

TEST_F(EvaluateTwins, ValidationHearsItsOwnAudioWhereTrainingHasTheSameIds) {
  const ProcessResult trained = run_rehearse(
      {"train", (toy_folder() / "config.yaml").string(), "--init", (toy_folder() / "run").string(), "--set",
       "run.folder=" + path("run"), "--set", "data.train=[" + path("clean/set.jsonl") + "]", "--set",
       "data.valid=[" + path("silent/set.jsonl") + "]", "--set", "budget.steps=4", "--set", "optimizer.lr=0"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  std::ifstream lines(path("run/metrics.jsonl"));
  double cer = -1;
  for (std::string text; std::getline(lines, text);)
    if (const json record = json::parse(text); record["kind"] == "validation") cer = record["macro_cer"];
  EXPECT_GT(cer, 0.8);
}

TEST_F(Evaluate, SaysWhatTheModelWasTrainedOn) {
  write_toy_set(folder_.path(), "other.jsonl", "elsewhere", toy_texts(2, 9));
  const std::string manifests = (toy_folder() / "loud_train.jsonl").string() + "," + path("other.jsonl");
  ASSERT_EQ(run_rehearse(line(manifests, "out.json")).exit_code, 0);
  const json result = read("out.json");
  EXPECT_EQ(result["sets"][0]["training"], "in");
  EXPECT_EQ(result["sets"][1]["training"], "out");
  EXPECT_EQ(result["sets"][1]["in_training"], false);
}

TEST_F(Evaluate, AudioThatCannotBeReadCountsAsAllDeleted) {
  write_toy_set(folder_.path(), "set.jsonl", "loud", {"ab cd", "abc d"});
  std::ofstream(path("set1.wav")) << "no audio";
  const ProcessResult result = run_rehearse(line(path("set.jsonl"), "out.json"));
  EXPECT_EQ(result.exit_code, 3) << "half of it is more than data.max_rejected_share";
  EXPECT_THAT(result.err, HasSubstr("domain \"loud\": expected at most 20.00 % refused"));
  EXPECT_THAT(result.err, HasSubstr("found 1 of 2 utterances (50.00 %)"));
  EXPECT_LT(result.out.find("1 of 2 utterances (50.00 %) were refused"), result.out.find("CER %")) << "first of all";
  EXPECT_THAT(result.out, HasSubstr("could not be read"));
  EXPECT_THAT(result.out, HasSubstr("set1.wav"));
  const json written = read("out.json");
  for (const json& one : written["sets"][0]["utterance_results"])
    if (one["audio_filepath"].get<std::string>().ends_with("set1.wav")) {
      EXPECT_EQ(one["edits"], 5);
      EXPECT_EQ(one["length"], 5);
    }
}

TEST_F(Evaluate, AFewRefusalsAreSaidAndNoFailure) {
  write_toy_set(folder_.path(), "set.jsonl", "loud", toy_texts(6, 3));
  std::ofstream(path("set1.wav")) << "no audio";
  for (int ranks : {1, 2}) {
    const auto arguments = line(path("set.jsonl"), "out.json");
    const ProcessResult result = ranks == 1 ? run_rehearse(arguments) : run_rehearse_ranks(ranks, arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("1 of 6 utterances (16.67 %) were refused"));
  }
}

// Longer than what is computed whole, beside shorter ones.
TEST_F(Evaluate, ALongUtteranceIsHeardAsTranscribeHearsIt) {
  std::string said;
  for (const std::string& text : toy_texts(40, 77)) said += (said.empty() ? "" : " ") + text;
  write_toy_set(folder_.path(), "set.jsonl", "loud", {said, "ab cd"});
  std::vector<std::string> arguments = line(path("set.jsonl"), "out.json");
  arguments.insert(arguments.end(), {"--hypotheses", path("said.jsonl")});
  ASSERT_EQ(run_rehearse(arguments).exit_code, 0);
  const ProcessResult heard = run_rehearse({"transcribe", (toy_folder() / "run").string(), path("set0.wav"), "--json"});
  const json transcript = json::parse(heard.out);
  ASSERT_GT(transcript["duration"], 61) << "several windows";
  std::ifstream lines(path("said.jsonl"));
  int compared = 0;
  for (std::string text; std::getline(lines, text);)
    if (const json entry = json::parse(text); entry["audio_filepath"].get<std::string>().ends_with("set0.wav")) {
      EXPECT_EQ(entry["hypothesis"], transcript["text"]);
      EXPECT_LT(entry["edits"].get<double>(), 0.2 * entry["length"].get<double>());
      ++compared;
    }
  EXPECT_EQ(compared, 1);
}

TEST_F(Evaluate, TextsOutsideTheVocabularyAreScoredToo) {
  write_toy_set(folder_.path(), "set.jsonl", "loud", {"ab cd", "abc"});
  std::string text = read_text(path("set.jsonl"));
  text.replace(text.find("ab cd"), 5, "xyz");
  text.replace(text.find("\"abc\""), 5, "\"?!\"");  // nothing is left of it
  std::ofstream(path("set.jsonl")) << text;
  ASSERT_EQ(run_rehearse(line(path("set.jsonl"), "out.json")).exit_code, 0);
  const json set = read("out.json")["sets"][0];
  EXPECT_EQ(set["utterances"], 2);
  EXPECT_EQ(set["reference_length"], 3);
  EXPECT_GE(set["cer"], 1.0);
}

TEST_F(Evaluate, WritesWhatWasHeard) {
  std::vector<std::string> arguments = line(both(), "out.json");
  arguments.insert(arguments.end(), {"--hypotheses", path("said.jsonl"), "--batch-seconds", "5"});
  ASSERT_EQ(run_rehearse(arguments).exit_code, 0);
  std::ifstream lines(path("said.jsonl"));
  size_t count = 0;
  int num_right = 0;
  for (std::string text; std::getline(lines, text); ++count) {
    const json entry = json::parse(text);
    const auto edits = character_edits(entry["reference"], entry["hypothesis"]);
    EXPECT_EQ(entry["edits"], edits.edits()) << text;
    EXPECT_EQ(entry["length"], edits.reference_length);
    num_right += edits.edits() == 0 ? 1 : 0;
  }
  EXPECT_EQ(count, 11u);
  EXPECT_GE(num_right, 5) << "the toy model reads tones";
}

TEST_F(Evaluate, ReportsReadItsFile) {
  ASSERT_EQ(run_rehearse(line(both(), "a.json")).exit_code, 0);
  const ProcessResult report = run_rehearse({"report", (toy_folder() / "run").string(), "--before", path("a.json"),
                                             "--after", path("a.json"), "--out", path("report.html")});
  EXPECT_EQ(report.exit_code, 0) << report.err;
}

TEST_F(Evaluate, MissingThingsHaveTheirExitCodes) {
  const ProcessResult no_manifest = run_rehearse(line("absent.jsonl", "out.json"));
  EXPECT_EQ(no_manifest.exit_code, 3);
  EXPECT_THAT(no_manifest.err, HasSubstr("absent.jsonl"));
  const ProcessResult no_run = run_rehearse({"evaluate", path("nothing"), "--manifest", both()});
  EXPECT_EQ(no_run.exit_code, 3);
  EXPECT_THAT(no_run.err, HasSubstr("expected a checkpoint"));
  std::vector<std::string> no_step = line(both(), "out.json");
  no_step.insert(no_step.end(), {"--step", "7"});
  const ProcessResult wrong_step = run_rehearse(no_step);
  EXPECT_EQ(wrong_step.exit_code, 3);
  EXPECT_THAT(wrong_step.err, HasSubstr("found step-00000160"));
}

// The same end on one rank and on two, said once and without a table.
void expect_refused(const std::vector<std::string>& line, int exit_code, const std::string& complaint) {
  for (int ranks : {1, 2}) {
    SCOPED_TRACE(ranks);
    const ProcessResult result = ranks == 1 ? run_rehearse(line) : run_rehearse_ranks(ranks, line);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(complaint));
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(Evaluate, AManifestWithoutUtterancesIsRefused) {
  std::ofstream(path("empty.jsonl")) << "\n";
  expect_refused(line(both() + "," + path("empty.jsonl"), "out.json"), 3,
                 "empty.jsonl: expected utterances to score; found none");
  EXPECT_FALSE(fs::exists(path("out.json")));
}

TEST_F(Evaluate, AManifestGivenTwiceIsRefused) {
  const std::string other_spelling = (toy_folder() / "v/../v/loud_valid.jsonl").string();
  expect_refused(line(both() + "," + other_spelling, "out.json"), 2, "--manifest: expected every manifest once");
}

TEST_F(Evaluate, AnOutputThatCannotBeWrittenIsFoundBeforeTheWork) {
  expect_refused(line(both(), "absent/out.json"), 2, "--json: expected a file in a folder that is there; found no");
  std::vector<std::string> hypotheses = line(both(), "out.json");
  hypotheses.insert(hypotheses.end(), {"--hypotheses", folder_.path().string()});
  expect_refused(hypotheses, 2, "--hypotheses: expected the name of a file; found the folder");
}

}  // namespace
}  // namespace rehearse
