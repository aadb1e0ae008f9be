// rehearse doctor through the binary: what it finds, what it concludes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

class Doctor : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  ProcessResult doctor(std::vector<std::string> more = {}) const {
    more.insert(more.begin(),
                {"doctor", (toy_folder() / "config.yaml").string(), "--set", "run.folder=" + path("run")});
    return run_rehearse(more);
  }
  // The toy set with one line added for a file of these bytes.
  ProcessResult with_file(const std::string& bytes, double duration_s, std::vector<std::string> more = {}) const {
    write_toy_set(folder_.path(), "train.jsonl", "loud", toy_texts(12, 5));
    if (!bytes.empty()) std::ofstream(path("odd.wav"), std::ios::binary) << bytes;
    std::ofstream(path("train.jsonl"), std::ios::app)
        << R"({"audio_filepath": "odd.wav", "text": "ab", "domain": "loud", "duration": )" << duration_s << "}\n";
    more.insert(more.end(), {"--set", "data.train=[" + path("train.jsonl") + "]"});
    return doctor(more);
  }
  TemporaryFolder folder_{"doctor"};
};

TEST_F(Doctor, FindsNothingWrongWithTheToyRun) {
  const ProcessResult result = doctor();
  EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
  for (const char* part : {"nothing wrong", "blocks.0", "subsample", "heaviest of the first window",
                           "largest utterances", "peak memory", "MPI", "free at", "ok: training can begin"})
    EXPECT_THAT(result.out, HasSubstr(part));
  EXPECT_FALSE(fs::exists(path("run"))) << "it only looks";
}

TEST_F(Doctor, NamesWhatIsWrongWithAFile) {
  const ProcessResult unreadable = with_file("no audio", 1);
  EXPECT_EQ(unreadable.exit_code, 0);
  EXPECT_THAT(unreadable.out, HasSubstr("  unreadable: 1\n"));
  EXPECT_THAT(unreadable.out, HasSubstr("odd.wav"));
  EXPECT_THAT(unreadable.out, HasSubstr("1 audio files are unreadable or suspect (0 of them silent)"));
  EXPECT_THAT(unreadable.out, HasSubstr("ok with 2 warning")) << "13 utterances are few, too";
  write_wav(path("odd.wav"), std::vector<float>(16000, 0.0f));
  EXPECT_THAT(with_file("", 1).out, HasSubstr("  silent: 1\n"));
  write_wav(path("odd.wav"), toy_audio("ab"));
  EXPECT_THAT(with_file("", 5).out, HasSubstr("  truncated: 1\n"));
  EXPECT_THAT(with_file("", 30).out, HasSubstr("  too long: 1\n"));
}

TEST_F(Doctor, ADomainWithoutItsFilesWillNotWork) {
  write_toy_set(folder_.path(), "train.jsonl", "loud", toy_texts(12, 5));
  for (int i = 0; i < 3; ++i) fs::remove(path("train" + std::to_string(i) + ".wav"));
  const ProcessResult result = doctor({"--set", "data.train=[" + path("train.jsonl") + "]"});
  EXPECT_EQ(result.exit_code, 3) << result.out;
  EXPECT_THAT(result.out, HasSubstr("would lose 3 of 12 utterances (25.0 %)"));
}

TEST_F(Doctor, WritesEveryFindingIntoAFile) {
  ASSERT_EQ(with_file("no audio", 1, {"--list", path("list.tsv")}).exit_code, 0);
  EXPECT_THAT(read_text(path("list.tsv")), HasSubstr("train.jsonl\tloud\t" + path("odd.wav") + "\tunreadable: "));
}

TEST_F(Doctor, ADomainThatLosesTooMuchWillNotWork) {
  const ProcessResult result = doctor({"--set", "data.max_duration_s=1"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.out, HasSubstr("would lose"));
  EXPECT_THAT(result.out, HasSubstr("will not work"));
}

TEST_F(Doctor, ABrokenManifestWillNotWork) {
  std::ofstream(path("broken.jsonl")) << "{\"audio_filepath\": 7}\n";
  const ProcessResult result = doctor({"--set", "data.train=[" + path("broken.jsonl") + "]"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.out, HasSubstr("broken.jsonl:1"));
}

TEST_F(Doctor, CountsCharactersThatTheVocabularyLacks) {
  write_toy_set(folder_.path(), "train.jsonl", "loud", toy_texts(12, 5));
  std::string text = read_text(path("train.jsonl"));
  const size_t at = text.find("\"text\": \"") + 9;
  text.replace(at, 1, "q");
  std::ofstream(path("train.jsonl")) << text;
  EXPECT_THAT(doctor({"--set", "data.train=[" + path("train.jsonl") + "]"}).out,
              HasSubstr("domain \"loud\": 1 characters in 1 utterances are not in the vocabulary: q"));
}

TEST_F(Doctor, LooksAtTheValidationSetsToo) {
  write_toy_set(folder_.path(), "valid.jsonl", "loud", toy_texts(6, 5));
  std::string text = read_text(path("valid.jsonl"));
  text.replace(text.find("\"text\": \"") + 9, 1, "q");
  const size_t last = text.rfind("\"duration\": ") + 12;
  text.replace(last, text.find('}', last) - last, "3700");
  std::ofstream(path("valid.jsonl")) << text;
  const ProcessResult result = doctor({"--set", "data.valid=[" + path("valid.jsonl") + "]"});
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.out, HasSubstr("warning: validation: domain \"loud\": 1 characters in 1 utterances are not in"));
  EXPECT_THAT(result.out, HasSubstr("  too long: 1\n"));
}

TEST_F(Doctor, SaysWhenThereIsTooLittleToLearnFrom) {
  write_toy_set(folder_.path(), "train.jsonl", "loud", toy_texts(12, 5));
  const ProcessResult result = doctor({"--set", "data.train=[" + path("train.jsonl") + "]"});
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_THAT(result.out, HasSubstr("== learning\nto learn from: 0.01 h of speech; 5 tokens, "));
  EXPECT_THAT(result.out, HasSubstr("warning: vocabulary: expected most tokens at least 20 times"));
}

TEST_F(Doctor, ADeviceThatIsNotThereWillNotWork) {
  const ProcessResult result = doctor({"--set", "device=cuda"});
  EXPECT_EQ(result.exit_code, 2) << result.out;
  EXPECT_THAT(result.out, HasSubstr("will not work: device: expected "));
  EXPECT_THAT(result.out, HasSubstr("largest utterances: ")) << "the rest is looked at on the CPU";
}

TEST_F(Doctor, SaysWhatValidationAndAnnotationsHold) {
  write_toy_set(folder_.path(), "valid.jsonl", "loud", toy_texts(5, 5));
  std::string text = read_text(path("valid.jsonl"));
  text.insert(text.find("\"text\": \"") + 9, "[laughs] \u00e9");
  std::ofstream(path("valid.jsonl")) << text;
  const std::string out = doctor({"--set", "data.valid=[" + path("valid.jsonl") + "]"}).out;
  EXPECT_THAT(out,
              HasSubstr("warning: validation: domain \"loud\": 1 characters in 1 utterances are not in the vocabulary: "
                        "\u00e9 (U+00E9) once; no model with this vocabulary can write them"));
  EXPECT_THAT(out, HasSubstr("validation: domain \"loud\": 1 texts hold annotations: [laughs] once; they are dropped"));
}

TEST_F(Doctor, AWrongKeyIsAConfigurationError) {
  const ProcessResult result = doctor({"--set", "batch.secnods=7"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out + result.err, HasSubstr("seconds"));
}

// The share of a domain whose characters do not fit stride 8, known from an independent count.
TEST_F(Doctor, FindsThatCharactersOfRealSpeechDoNotFitStride8) {
  const char* data = std::getenv("REHEARSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "REHEARSE_TEST_DATA is not set: no real speech was examined";
  const std::string book = std::string(data) + "/book_en/train.jsonl",
                    digits = std::string(data) + "/digits_en/train.jsonl";
  ASSERT_EQ(run_rehearse(
                {"tokenizer", book, digits, "--kind", "char", "--normalizer", "raw/1", "--out", path("characters.txt")})
                .exit_code,
            0);
  const ProcessResult result =
      doctor({"--set", "data.train=[" + book + ", " + digits + "]", "--set", "data.normalizer=raw/1", "--set",
              "data.tokenizer=" + path("characters.txt"), "--set", "model.blocks.0.factor=8"});
  EXPECT_EQ(result.exit_code, 3) << "most of book_en is lost";
  const auto stride_8 = [&](const std::string& domain, const std::string& vocabulary) {
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with(domain + " ") || line.find(" " + vocabulary + " ") == line.npos) continue;
      // Tokens a second, then the shares at strides 2, 4 and 8 and of the run's own model.
      std::istringstream shares(line.substr(line.find(vocabulary) + vocabulary.size()));
      double tokens = -1, at_2 = -1, at_4 = -1, at_8 = -1, own = -1;
      std::string percent;
      shares >> tokens >> at_2 >> percent >> at_4 >> percent >> at_8 >> percent >> own;
      EXPECT_DOUBLE_EQ(own, at_8) << "the model has stride 8: there is one answer";
      return at_8;
    }
    return -1.0;
  };
  EXPECT_DOUBLE_EQ(stride_8("book_en", "characters"), 88.4) << result.out;
  EXPECT_DOUBLE_EQ(stride_8("digits_en", "characters"), 9.4);
  EXPECT_DOUBLE_EQ(stride_8("book_en", "bpe 300"), 0);
}

}  // namespace
}  // namespace rehearse
