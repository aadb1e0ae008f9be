// The second task through the program: drawn faces, a run killed and resumed, evaluated, drawn and predicted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/data/text/text_support.h"
#include "tests/support/tiny_run.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kSteps = 300;

class Keypoints : public ::testing::Test {
 protected:
  Keypoints() {
    faces_ = run_rehearse({"synth-faces", "--out", path("faces"), "--pictures", "120", "--seed", "5"});
    std::ofstream yaml(path("faces.yaml"));
    yaml << "extends: " << REHEARSE_SOURCE_DIR << "/configs/keypoints_small.yaml\ndata:\n";
    for (const char* set : {"train", "valid"}) {
      yaml << "  " << set << ": [";
      for (const char* domain : {"dark", "frontal", "turned"})
        yaml << (domain[0] == 'd' ? "" : ", ") << file(domain, set);
      yaml << "]\n";
    }
    yaml << "batch: {cost: 12}\nbudget: {minutes: 0, steps: " << kSteps << "}\n"
         << "checkpoint: {every_minutes: 0, every_steps: 20}\nvalidation: {every_minutes: 0, every_steps: 100}\n";
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string file(const std::string& domain, const std::string& set) const {
    return path("faces/" + domain + "/" + set + ".faces.h5");
  }
  std::vector<std::string> train(const std::string& run, std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"train", path("faces.yaml"), "--set", "run.folder=" + path(run)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<std::byte> last_file(const std::string& run, const std::string& name) const {
    return read_bytes(path(run) + "/checkpoints/step-00000300/" + name);
  }
  TemporaryFolder folder_{"keypoints"};
  ProcessResult faces_;
};

TEST_F(Keypoints, ARunKilledAndResumedEndsAsTheUnbrokenOneAndIsScoredDrawnAndUsed) {
  ASSERT_EQ(faces_.exit_code, 0) << faces_.err;
  const ProcessResult unbroken = run_rehearse_ranks(2, train("unbroken"));
  ASSERT_EQ(unbroken.exit_code, 0) << unbroken.err;
  EXPECT_THAT(unbroken.err, AllOf(HasSubstr("pictures"), HasSubstr("MSE"), Not(HasSubstr("utterance")),
                                  Not(HasSubstr("CER")), Not(HasSubstr("token"))));
  {
    RunningProcess process(rehearse_ranks_line(2, train("killed")));
    ASSERT_TRUE(wait_for_step(process, path("killed"), 50)) << process.err();
    const auto rank = process_of_rank(process.id(), 1);
    ASSERT_TRUE(rank.has_value());
    ASSERT_EQ(kill(*rank, SIGKILL), 0);
    EXPECT_NE(process.wait(30).exit_code, 0);
  }
  const ProcessResult resumed = run_rehearse_ranks(2, train("killed", {"--resume", "auto"}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "curriculum.h5", "faces.json"})
    EXPECT_TRUE(last_file("killed", name) == last_file("unbroken", name)) << name;

  const ProcessResult scored =
      run_rehearse({"evaluate", path("unbroken"), "--manifest", file("dark", "valid") + "," + file("turned", "valid"),
                    "--json", path("scores.json"), "--answers", path("answers.jsonl")});
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  EXPECT_THAT(scored.out, AllOf(HasSubstr("MSE"), HasSubstr("within 10 %"), HasSubstr("nose_tip")));
  const json scores = json::parse(read_text(path("scores.json")));
  EXPECT_EQ(scores.at("sets").size(), 2u);
  EXPECT_LT(scores.at("macro_mse").get<double>(), 0.1);
  EXPECT_THAT(read_text(path("answers.jsonl")), HasSubstr("\"true_points\""));

  const ProcessResult report = run_rehearse({"report", path("unbroken"), "--out", path("report.html")});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  EXPECT_THAT(read_text(path("report.html")),
              AllOf(HasSubstr("Worst answers of update 300"), HasSubstr("data:image/png;base64,"),
                    HasSubstr("pictures"), Not(HasSubstr("utterance")), Not(HasSubstr("CER"))));
  std::string events;
  for (const auto& one : fs::directory_iterator(path("unbroken/tensorboard"))) events += read_text(one.path());
  EXPECT_THAT(events,
              AllOf(HasSubstr("validation/worst/1"), HasSubstr("\x89PNG"), HasSubstr("validation/macro_error")));

  const ProcessResult predicted =
      run_rehearse({"predict", path("unbroken"), path("unbroken/pictures/worst-1.png"), "--png", path("drawn")});
  ASSERT_EQ(predicted.exit_code, 0) << predicted.err;
  EXPECT_TRUE(json::parse(predicted.out).at("points").contains("nose_tip")) << predicted.out;
  EXPECT_FALSE(fs::is_empty(path("drawn")));
}

TEST_F(Keypoints, ACheckpointOfSpeechIsNotEvaluatedOnFacesNorTheOtherWayRound) {
  ASSERT_EQ(faces_.exit_code, 0) << faces_.err;
  const ProcessResult speech =
      run_rehearse({"evaluate", (tiny_folder() / "unbroken").string(), "--manifest", file("dark", "valid")});
  EXPECT_EQ(speech.exit_code, 3) << speech.err;
  ASSERT_EQ(run_rehearse(train("short", {"--set", "budget.steps=2"})).exit_code, 0);
  const ProcessResult faces =
      run_rehearse({"evaluate", path("short"), "--manifest", (tiny_folder() / "loud_train.jsonl").string()});
  EXPECT_EQ(faces.exit_code, 3) << faces.err;
  EXPECT_THAT(faces.err, HasSubstr("loud_train.jsonl"));
  const ProcessResult listed = run_rehearse({"quarantine", path("short")});
  EXPECT_EQ(listed.exit_code, 2) << listed.err;
  EXPECT_THAT(listed.err, HasSubstr("found one of task keypoints"));
  const ProcessResult both =
      run_rehearse({"report", path("short"), (tiny_folder() / "unbroken").string(), "--out", path("both.html")});
  EXPECT_EQ(both.exit_code, 2) << both.err;
  EXPECT_THAT(both.err, HasSubstr("expected task keypoints"));
}

TEST_F(Keypoints, AKeyOfSpeechThatWouldDoNothingIsRefused) {
  ASSERT_EQ(faces_.exit_code, 0) << faces_.err;
  for (const std::string set : {"data.tokenizer=x.model", "features.hop_ms=5", "batch.seconds=10"}) {
    const ProcessResult result = run_rehearse(train("refused", {"--set", set}));
    EXPECT_EQ(result.exit_code, 2) << set << result.err;
    EXPECT_THAT(result.err, HasSubstr(set.substr(0, set.find('=')) + ": expected a known key"));
  }
}

}  // namespace
}  // namespace rehearse
