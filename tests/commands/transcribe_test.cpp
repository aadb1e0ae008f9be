// rehearse transcribe through the binary: text, times, long files, bad files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "data/text/scoring.h"
#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"
#include "trainer/base/safetensors.h"

namespace rehearse {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

class Transcribe : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  static ProcessResult transcribe(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"transcribe", (toy_folder() / "run").string()});
    return run_rehearse(arguments);
  }
  json heard(const std::string& name, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {path(name), "--json"});
    const ProcessResult result = transcribe(more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out);
  }
  TemporaryFolder folder_{"transcribe"};
};

TEST_F(Transcribe, PrintsPathAndText) {
  write_wav(path("a.wav"), toy_audio("ab cd"));
  const ProcessResult result = transcribe({path("a.wav")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, path("a.wav") + "\tab cd\n");
  EXPECT_THAT(result.err, HasSubstr("real-time factor"));
}

TEST_F(Transcribe, WordsHaveTheTimesOfTheirTones) {
  write_wav(path("a.wav"), toy_audio("abcd dcba"));  // the second word begins after 1.28 s
  const json result = heard("a.wav");
  EXPECT_NEAR(result["duration"], 2.24, 0.01);
  std::string joined;
  double last = 0;
  for (const json& word : result["words"]) {
    joined += (joined.empty() ? "" : " ") + word["text"].get<std::string>();
    EXPECT_GE(word["start"], last);
    EXPECT_GT(word["end"], word["start"]);
    last = word["end"];
  }
  EXPECT_EQ(joined, result["text"]);
  EXPECT_LE(last, 2.3);
  ASSERT_EQ(result["words"].size(), 2u) << result;
  EXPECT_NEAR(result["words"][1]["start"], 1.28, 0.2);
}

TEST_F(Transcribe, ALongFileSaysWhatItsPartsSay) {
  std::string parts, reference;
  std::vector<float> all;
  std::vector<std::string> line = {"--json"};
  for (const std::string& text : toy_texts(16, 21)) {
    const std::vector<float> audio = toy_audio(text);
    all.insert(all.end(), audio.begin(), audio.end());
    all.resize(all.size() + 4000);
    line.push_back(path("part" + std::to_string(line.size()) + ".wav"));
    write_wav(line.back(), audio);
    reference += (reference.empty() ? "" : " ") + text;
  }
  std::istringstream lines(transcribe(line).out);
  for (std::string one; std::getline(lines, one);)
    parts += (parts.empty() ? "" : " ") + json::parse(one)["text"].get<std::string>();
  write_wav(path("long.wav"), all);
  const json cut = heard("long.wav", {"--window", "6", "--context", "1"});
  ASSERT_GT(cut["duration"], 24) << "several windows";
  const std::string text = cut["text"];
  EXPECT_LT(character_edits(parts, text).rate(), 0.1) << parts << "\n" << text;
  EXPECT_LT(character_edits(heard("long.wav", {"--window", "100"})["text"], text).rate(), 0.1);
  EXPECT_LT(character_edits(reference, text).rate(), 0.25) << reference << "\n" << text;
  double last = 0;
  for (const json& token : cut["tokens"]) {
    EXPECT_GE(token["start"], last);
    last = token["start"];
  }
}

TEST_F(Transcribe, ABadFileCostsOneLineAndTheExitCode) {
  write_wav(path("a.wav"), toy_audio("ab"));
  write_wav(path("b.wav"), toy_audio("cd"));
  std::ofstream(path("bad.wav")) << "no audio";
  const ProcessResult result = transcribe({path("a.wav"), path("bad.wav"), path("absent.wav"), path("b.wav")});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 2);
  EXPECT_THAT(result.err, HasSubstr("bad.wav"));
  EXPECT_THAT(result.err, HasSubstr("absent.wav: expected an audio file; found no such file"));
}

// With standard input from a file.
ProcessResult transcribe_from(const std::string& input, const std::vector<std::string>& arguments) {
  std::vector<std::string> line = rehearse_ranks_line(1, {});
  const auto binary =
      std::find_if(line.begin(), line.end(), [](const auto& one) { return one.ends_with("/rehearse"); });
  std::vector<std::string> all = {"sh",
                                  "-c",
                                  "input=$1; shift; exec \"$@\" < \"$input\"",
                                  "sh",
                                  input,
                                  *binary,
                                  "transcribe",
                                  (toy_folder() / "run").string()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_process(all);
}

TEST_F(Transcribe, PipesAndStandardInputAreReadLikeFiles) {
  write_wav(path("a.wav"), toy_audio("ab cd"));
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  std::jthread feeder([&] { std::ofstream(path("pipe"), std::ios::binary) << std::ifstream(path("a.wav")).rdbuf(); });
  const ProcessResult pipe = transcribe({path("pipe")});
  EXPECT_EQ(pipe.exit_code, 0) << pipe.err;
  EXPECT_EQ(pipe.out, path("pipe") + "\tab cd\n");
  const ProcessResult input = transcribe_from(path("a.wav"), {"-"});
  EXPECT_EQ(input.exit_code, 0) << input.err;
  EXPECT_EQ(input.out, "-\tab cd\n");
  const ProcessResult folder = transcribe({folder_.path().string()});
  EXPECT_EQ(folder.exit_code, 3);
  EXPECT_THAT(folder.err, HasSubstr("found a folder"));
}

TEST_F(Transcribe, ACutFileIsHeardWithAWarning) {
  write_wav(path("a.wav"), toy_audio("ab cd ab cd"));
  fs::resize_file(path("a.wav"), fs::file_size(path("a.wav")) / 2);
  const ProcessResult result = transcribe({path("a.wav")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("warning: this file is cut off"));
}

TEST_F(Transcribe, AClickIsNoReasonToFail) {
  write_wav(path("a.wav"), {0.5f});
  EXPECT_EQ(heard("a.wav")["text"], "");
}

TEST_F(Transcribe, AnEmptyLineIsExplained) {
  write_wav(path("a.wav"), {0.5f});
  const ProcessResult result = transcribe({path("a.wav")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, path("a.wav") + "\t\n");
  EXPECT_THAT(result.err, HasSubstr("nothing was heard"));
}

TEST_F(Transcribe, AnUnknownDeviceIsRefused) {
  EXPECT_EQ(transcribe({path("a.wav"), "--device", "tpu"}).exit_code, 2);
}

TEST_F(Transcribe, WritesTheLogitsOfEachFile) {
  write_wav(path("a.wav"), toy_audio("abcd"));
  write_wav(path("b.wav"), toy_audio("dc"));
  ASSERT_EQ(transcribe({path("a.wav"), path("b.wav"), "--logits", path("out.safetensors")}).exit_code, 0);
  const Safetensors logits = Safetensors::read(path("out.safetensors"));
  ASSERT_EQ(logits.tensors().size(), 2u);
  EXPECT_EQ(logits.at("a.wav").shape[1], 6) << "four letters, the space and the blank";
  EXPECT_NEAR(static_cast<double>(logits.at("a.wav").shape[0]), 1.04 / 0.04, 2);
}

TEST_F(Transcribe, RefusesTwoFilesOfOneNameForLogits) {
  const ProcessResult result = transcribe({"x/a.wav", "y/a.wav", "--logits", path("out.safetensors")});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("different names"));
}

}  // namespace
}  // namespace rehearse
