// Speech that a run cannot use, or that it has twice, is counted and said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "tests/support/tiny_run.h"
#include "tests/support/toy_run.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class LostSpeech : public ::testing::Test {
 protected:
  LostSpeech() {
    write_toy_set(folder_.path(), "soft_train.jsonl", "soft", toy_texts(24, 2));
    for (const json& line : lines_of("soft_train.jsonl")) manifest_.push_back(line);
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::vector<json> lines_of(const std::string& name) const {
    std::vector<json> found;
    std::ifstream in(path(name));
    for (std::string line; std::getline(in, line);) found.push_back(json::parse(line));
    return found;
  }
  void write_manifest_lines() const {
    std::ofstream out(path("soft_train.jsonl"));
    for (const json& line : manifest_) out << line.dump() << "\n";
  }
  // As many letters as there are output frames (one every 40 ms) in duration_s.
  static std::string dense_text(double duration_s) {
    std::string text;
    for (int i = 0; i < static_cast<int>(duration_s * 25); ++i) text += i % 2 ? 'a' : 'b';
    return text;
  }
  std::vector<std::string> line(std::vector<std::string> more) const {
    more.insert(more.end(),
                {"--set", "data.train=[" + path("soft_train.jsonl") + "]", "--set", "log.observations=true"});
    return tiny_train(folder_.path() / "run", std::move(more));
  }
  std::vector<json> records(const std::string& kind) const {
    std::vector<json> found;
    for (const json& record : lines_of("run/metrics.jsonl"))
      if (record.at("kind") == kind) found.push_back(record);
    return found;
  }
  std::vector<std::string> notes_with(const std::string& part) const {
    std::vector<std::string> found;
    for (const json& note : records("note"))
      if (const std::string text = note.at("text"); text.find(part) != std::string::npos) found.push_back(text);
    return found;
  }

  TemporaryFolder folder_{"lost_speech"};
  std::vector<json> manifest_;
};

TEST_F(LostSpeech, DrawsThatSpeedMakesTooShortAreCountedAndNoCerIsTakenFromThem) {
  for (size_t i = 0; i < 3; ++i) manifest_[i]["text"] = dense_text(manifest_[i].at("duration"));
  write_manifest_lines();
  const ProcessResult result = run_rehearse_ranks(
      2, line({"--set", "data.augment=[{type: speed, min: 1.05, max: 1.1}]", "--set", "budget.steps=12"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  uint64_t counted = 0, observed = 0;
  for (const json& step : records("step")) counted += step.at("infeasible").get<uint64_t>();
  for (const json& step : lines_of("run/observations.jsonl"))
    for (const json& draw : step.at("draws")) observed += draw.at(2) == 2 ? 1 : 0;
  EXPECT_GT(counted, 0u);
  EXPECT_EQ(counted, observed);
  EXPECT_EQ(notes_with("expected at least as many output frames as its text needs").size(), 1u) << "said once";
  EXPECT_EQ(notes_with("left out: ").size(), 0u) << "at another speed they may fit";
}

TEST_F(LostSpeech, AFileThatIsTooShortForItsTextWhateverTheSpeedIsLeftOutWithItsName) {
  json& longest =
      *std::ranges::max_element(manifest_, {}, [](const json& line) -> double { return line.at("duration"); });
  const double duration_s = longest.at("duration");
  longest["duration"] = 1.045 * duration_s;  // within what codecs round
  longest["text"] = dense_text(1.045 * duration_s);
  write_manifest_lines();
  const ProcessResult result = run_rehearse_ranks(2, line({"--set", "data.augment=[]", "--set", "budget.steps=12"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<std::string> notes = notes_with("left out: ");
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr(longest.at("audio_filepath").get<std::string>()));
  EXPECT_THAT(notes[0], HasSubstr("output frames for its text; found"));
  EXPECT_THAT(notes[0], HasSubstr("correct its duration or its text"));
}

TEST_F(LostSpeech, AFileThatComesBackIsLearnedFromAgainAndThatIsSaidOnce) {
  const std::string file = path("soft_train7.wav"), away = path("away.wav");
  fs::rename(file, away);
  RunningProcess run(
      rehearse_ranks_line(2, line({"--set", "budget.steps=400", "--set", "curriculum.probe_share=0.5", "--set",
                                   "validation.every_minutes=0", "--set", "checkpoint.every_steps=0"})));
  ASSERT_TRUE(wait_until(60, [&] { return run.is_over() || run.err().find("left out: ") != std::string::npos; }));
  fs::rename(away, file);
  const ProcessResult result = run.wait(100);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(notes_with("left out: ").size(), 1u);
  ASSERT_EQ(notes_with("can be read again").size(), 1u);
  EXPECT_THAT(notes_with("can be read again")[0], HasSubstr("soft_train7.wav"));
  EXPECT_EQ(records("domains").back().at("domains").at(0).at("bad_files"), 0);
}

TEST_F(LostSpeech, ValidationThatWasTrainedOnIsSaidAtTheStart) {
  const std::string valid = (tiny_folder() / "soft_train.jsonl").string();  // the same speech in another folder
  const ProcessResult result =
      run_rehearse_ranks(2, line({"--set", "data.valid=[" + valid + "]", "--set", "budget.steps=2"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json overlap = records("start").at(0).at("overlap");
  EXPECT_EQ(overlap.at("utterances"), 24);
  for (const char* kind : {"id", "audio"}) {
    EXPECT_EQ(overlap.at(kind).at("count"), 24) << kind;
    EXPECT_EQ(overlap.at(kind).at("first").size(), 3u);
  }
  EXPECT_EQ(overlap.at("sentence_and_speaker").at("count"), 0) << "no speaker is named";
  EXPECT_THAT(result.err, HasSubstr("24 have the id of a training utterance"));
  EXPECT_THAT(result.err, HasSubstr("better than it is"));
  const ProcessResult doctor =
      run_rehearse({"doctor", (tiny_folder() / "config.yaml").string(), "--set", "data.valid=[" + valid + "]"});
  EXPECT_THAT(doctor.out, HasSubstr("24 its audio"));
}

TEST_F(LostSpeech, ValidationOfItsOwnIsSaidToBeSo) {
  const ProcessResult result = run_rehearse(line({"--set", "budget.steps=1"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("of 5 utterances 0 have the id of a training utterance, 0 its audio"));
  EXPECT_THAT(result.err, Not(HasSubstr("better than it is")));
}

}  // namespace
}  // namespace rehearse
