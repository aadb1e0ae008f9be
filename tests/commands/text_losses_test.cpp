// Texts that hold what the vocabulary does not: train and evaluate through the binary say so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class TextsThatLose : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  // A toy set whose first two texts begin with `odd`.
  std::string odd_set(const std::string& name, const std::string& odd) const {
    write_toy_set(folder_.path(), name, "loud", toy_texts(12, 5));
    std::string text = read_text(path(name));
    const std::string mark = "\"text\": \"";
    size_t at = 0;
    for (int i = 0; i < 2; ++i) {
      at = text.find(mark, at) + mark.size();
      text.insert(at, odd);
    }
    std::ofstream(path(name)) << text;
    return path(name);
  }
  TemporaryFolder folder_{"losses"};
};

TEST_F(TextsThatLose, AreNamedAtTheStartOfTraining) {
  const std::string train = odd_set("train.jsonl", "éé [laughs] "), valid = odd_set("valid.jsonl", "ñ");
  const ProcessResult result =
      run_rehearse({"train", (toy_folder() / "config.yaml").string(), "--set", "run.folder=" + path("run"), "--set",
                    "data.train=[" + train + "]", "--set", "data.valid=[" + valid + "]", "--set", "budget.steps=1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const std::string& said : {result.err, read_text(path("run/log/rank-0.log"))}) {
    EXPECT_THAT(said, HasSubstr("data.train: domain \"loud\": 4 characters in 2 utterances are not in the vocabulary: "
                                "é (U+00E9) 4 times; training leaves them out; make the vocabulary of"));
    EXPECT_THAT(said, HasSubstr("data.valid: domain \"loud\": 2 characters in 2 utterances are not in the vocabulary: "
                                "ñ (U+00F1) 2 times; no model with this vocabulary can write them"));
    EXPECT_THAT(said, HasSubstr("data.train: domain \"loud\": 2 texts hold annotations: [laughs] 2 times; they are "
                                "dropped; data.annotations: keep"));
  }
  std::ifstream lines(path("run/metrics.jsonl"));
  std::string first;
  std::getline(lines, first);
  const json start = json::parse(first);
  EXPECT_EQ(start.at("unknown_characters").dump(),
            R"([{"characters":4,"counts":{"é":4},"domain":"loud","set":"train","utterances":2},)"
            R"({"characters":2,"counts":{"ñ":2},"domain":"loud","set":"valid","utterances":2}])");
  EXPECT_EQ(start.at("annotations").dump(),
            R"([{"counts":{"[laughs]":2},"domain":"loud","set":"train","utterances":2}])");
}

TEST_F(TextsThatLose, AreNamedByEvaluate) {
  const ProcessResult result = run_rehearse({"evaluate", (toy_folder() / "run").string(), "--manifest",
                                             odd_set("set.jsonl", "é"), "--json", path("out.json")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string note =
      "domain \"loud\": 2 characters in 2 utterances are not in the vocabulary: é (U+00E9) 2 times";
  EXPECT_THAT(result.out, HasSubstr(note));
  EXPECT_THAT(json::parse(read_text(path("out.json"))).at("notes").at(0).get<std::string>(), HasSubstr(note));
}

TEST_F(TextsThatLose, AnOldCheckpointKeepsItsNormaliser) {
  const std::string golden = std::string(REHEARSE_SOURCE_DIR) + "/tests/golden/checkpoint_v1";
  const ProcessResult result = run_rehearse({"evaluate", golden, "--manifest", odd_set("set.jsonl", "[ab] ")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("text normalised by basic/1"));
  EXPECT_THAT(result.out, HasSubstr("2 texts hold annotations: [ab] 2 times; their words are learned"));
}

}  // namespace
}  // namespace rehearse
