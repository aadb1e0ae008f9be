// rehearse quarantine through the binary: planted wrong texts are listed, as a table and as a manifest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/speech/manifest.h"
#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The domain loud says one thing in two of its files, and its manifest says another.
constexpr size_t kWrong[] = {5, 17};

// A run that has learned loud and soft; the other letters of a wrong text have nothing in common with what is said.
const fs::path& mislabelled_run() {
  static const fs::path kFolder = made_once("mislabelled_run", [](const fs::path& folder) {
    write_toy_set(folder, "loud_train.jsonl", "loud", toy_texts(24, 1));
    std::vector<Utterance> utterances = read_manifest((folder / "loud_train.jsonl").string());
    for (const size_t i : kWrong)
      for (char& letter : utterances[i].text)
        if (letter != ' ') letter = static_cast<char>('a' + (letter - 'a' + 2) % 4);
    write_manifest((folder / "loud_train.jsonl").string(), utterances);
    const ProcessResult result = run_rehearse({"train", (toy_folder() / "config.yaml").string(), "--set",
                                               "run.folder=" + (folder / "run").string(), "--set",
                                               "data.train=[" + (folder / "loud_train.jsonl").string() + "," +
                                                   (toy_folder() / "soft_train.jsonl").string() + "]",
                                               "--set", "validation.every_steps=40", "--set",
                                               "checkpoint.every_steps=40", "--set", "checkpoint.keep_last=9"});
    if (result.exit_code != 0) throw std::runtime_error("the mislabelled run could not be made: " + result.err);
    std::ofstream(folder / "log.txt") << result.err << result.out;
  });
  return kFolder;
}

std::string run_folder() {
  return (mislabelled_run() / "run").string();
}

TEST(QuarantineVerb, ListsThePlantedWrongTextsAndNothingElse) {
  const TemporaryFolder folder("quarantine");
  const std::string out = (folder.path() / "wrong.jsonl").string();
  const ProcessResult result = run_rehearse({"quarantine", run_folder(), "--out", out});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(StartsWith(run_folder()), HasSubstr("step-00000160: 2 utterance(s) set aside\n")));
  std::vector<std::string> names;
  for (const Utterance& utterance : read_manifest(out)) names.push_back(fs::path(utterance.audio_path).filename());
  std::ranges::sort(names);
  EXPECT_THAT(names, ElementsAre("loud_train17.wav", "loud_train5.wav"));
  for (const std::string& name : names) EXPECT_THAT(result.out, HasSubstr(name));
  EXPECT_THAT(read_text(mislabelled_run() / "log.txt"),
              HasSubstr("2 utterance(s) look wrongly labelled or cannot be read; rehearse quarantine " + run_folder()));
}

// The best checkpoint is that of an earlier step: what the log says at the end is what the verb shows.
TEST(QuarantineVerb, TheNewestCheckpointCounts) {
  const fs::path all = mislabelled_run() / "run/checkpoints";
  ASSERT_NE(fs::read_symlink(all / "best"), "step-00000160") << "the run is made so that it is not";
  EXPECT_THAT(run_rehearse({"quarantine", run_folder(), "--step", "40"}).out, HasSubstr("step-00000040: "));
}

// One step with other draws, and its quarantine.
ProcessResult quarantine_after_a_step(const std::string& curriculum) {
  const TemporaryFolder folder("quarantine");
  const std::string run = (folder.path() / "run").string();
  const ProcessResult trained =
      run_rehearse({"train", (toy_folder() / "config.yaml").string(), "--set", "run.folder=" + run, "--set",
                    "curriculum=" + curriculum, "--set", "budget.steps=1"});
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.err, Not(HasSubstr("wrongly labelled")));
  return run_rehearse({"quarantine", run});
}

TEST(QuarantineVerb, BeforeAnythingIsSetAsideThereIsNothingToShow) {
  const ProcessResult result = quarantine_after_a_step("{type: curriculum, max_repeats: 0}");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("step-00000001: 0 utterance(s) set aside\n"));
}

TEST(QuarantineVerb, OfAUniformRunTellsOfItsDomainsToo) {
  const ProcessResult result = quarantine_after_a_step("{type: uniform, max_repeats: 0}");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("too hard to judge texts")) << "after one step";
}

}  // namespace
}  // namespace rehearse
