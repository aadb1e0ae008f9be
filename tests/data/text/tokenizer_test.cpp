#include "data/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/text/normalizer.h"
#include "data/text/utf8.h"
#include "tests/data/text/text_support.h"
#include "trainer/base/files.h"
#include "trainer/base/random.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

class TokenizerOfKind : public testing::TestWithParam<std::string> {
 protected:
  TokenizerOfKind() : folder_("tokenizer") {}

  std::string path() const {
    const auto trainer = make_trainer();
    return (folder_.path() / (trainer->tokenizer() == "char" ? "t.txt" : "t.model")).string();
  }
  static std::unique_ptr<TokenizerTrainer> make_trainer() {
    Config config = Config::parse("{}");
    return Registry<TokenizerTrainer>::instance().create(GetParam(), config.root(), {});
  }
  std::unique_ptr<Tokenizer> trained() const {
    train_tokenizer(GetParam(), 60, sample_lines(), path());
    return load_tokenizer(path());
  }

  TemporaryFolder folder_;
};

TEST_P(TokenizerOfKind, DecodesWhatItEncoded) {
  const auto tokenizer = trained();
  std::vector<std::string> lines = sample_lines();
  for (const char* line : {"a", "o u", "new words never seen", "the the the", "don't", ""}) lines.push_back(line);
  for (const std::string& line : lines) {
    int num_unknown = -1;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(line, &num_unknown)), line);
    EXPECT_EQ(num_unknown, 0) << line;
  }
}

TEST_P(TokenizerOfKind, DecodesRandomTextOfKnownCharacters) {
  const auto tokenizer = trained();
  const uint64_t seed = 5;
  SCOPED_TRACE(concat("seed ", seed));
  const std::string alphabet = "abcdefghiklmnoprstuvwxy '";
  for (uint64_t trial = 0; trial < 500; ++trial) {
    const RandomKey key = RandomKey(seed).with(trial);
    std::string text(key.below(30, 0), ' ');
    for (size_t i = 0; i < text.size(); ++i) text[i] = alphabet[key.below(alphabet.size(), i + 1)];
    text = Normalizer("raw/1")(text);
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

TEST_P(TokenizerOfKind, DropsAndCountsUnknownCharacters) {
  const auto tokenizer = trained();
  int num_unknown = 0;
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("theЖЯ ☃end▁", &num_unknown)), "the end");
  EXPECT_EQ(num_unknown, 4);
}

TEST_P(TokenizerOfKind, TokensAreDenseAndHaveText) {
  const auto tokenizer = trained();
  for (int token = 0; token < tokenizer->size(); ++token) EXPECT_FALSE(tokenizer->decode({token}).empty()) << token;
  EXPECT_THROW(tokenizer->decode({tokenizer->size()}), BugError);
  EXPECT_THROW(tokenizer->piece(-1), BugError);
}

TEST_P(TokenizerOfKind, TrainsToTheSameBytes) {
  const auto trainer = make_trainer();
  EXPECT_EQ(trainer->train(60, sample_lines()), trainer->train(60, sample_lines()));
}

TEST_P(TokenizerOfKind, SerialisesTheFileItCameFrom) {
  const auto tokenizer = trained();
  EXPECT_EQ(tokenizer->serialized(), read_text(path()));
  const fs::path copy = folder_.path() / tokenizer->file_name();
  FileLayer files;
  write_text(files, copy, tokenizer->serialized());
  const auto reloaded = load_tokenizer(copy.string());
  EXPECT_EQ(reloaded->encode("the only sense"), tokenizer->encode("the only sense"));
}

TEST_P(TokenizerOfKind, RefusesToTrainOnNothing) {
  EXPECT_THROW(train_tokenizer(GetParam(), 60, {}, path()), DataError);
  EXPECT_THROW(train_tokenizer(GetParam(), 60, {"", ""}, path()), DataError);
}

std::vector<std::string> registered_kinds() {
  std::vector<std::string> kinds;
  for (const auto& [name, entry] : Registry<TokenizerTrainer>::instance().entries()) kinds.push_back(name);
  return kinds;
}
INSTANTIATE_TEST_SUITE_P(Every, TokenizerOfKind, testing::ValuesIn(registered_kinds()),
                         [](const auto& info) { return info.param; });

TEST(TokenizerTrainers, IncludeCharactersBpeAndUnigram) {
  EXPECT_THAT(registered_kinds(), testing::IsSupersetOf({"bpe", "char", "unigram"}));
}

TEST(SentencepieceTraining, GivesTheNumberOfTokensAskedFor) {
  const TemporaryFolder folder("sentencepiece");
  const std::string path = (folder.path() / "t.model").string();
  for (const char* kind : {"bpe", "unigram"}) {
    train_tokenizer(kind, 55, sample_lines(), path);
    EXPECT_EQ(load_tokenizer(path)->size(), 55) << kind;
  }
}

TEST(SentencepieceTraining, SpendsNoTokenOnTheStartOfTheText) {
  const TemporaryFolder folder("sentencepiece");
  const std::string path = (folder.path() / "t.model").string();
  train_tokenizer("bpe", 60, sample_lines(), path);
  const auto tokenizer = load_tokenizer(path);
  EXPECT_EQ(tokenizer->encode("x").size(), 1u);
  EXPECT_LE(tokenizer->encode("the").size(), 3u);
}

TEST(SentencepieceTraining, TakesCorporaOfSingleShortWords) {
  const TemporaryFolder folder("sentencepiece");
  const std::string path = (folder.path() / "t.model").string();
  train_tokenizer("bpe", 8, {"one", "two", "one", "two", "ten"}, path);
  EXPECT_EQ(load_tokenizer(path)->size(), 8);
}

TEST(SentencepieceTraining, RefusesASizeTheTextCannotFill) {
  const TemporaryFolder folder("sentencepiece");
  const std::string path = (folder.path() / "t.model").string();
  EXPECT_THROW(train_tokenizer("bpe", 100000, sample_lines(), path), ConfigError);
  EXPECT_THROW(train_tokenizer("unigram", 2, sample_lines(), path), ConfigError);
  EXPECT_FALSE(fs::exists(path));
}

std::string refusal(const std::string& kind, int size, const std::vector<std::string>& lines) {
  Config no_options = Config::parse("{}");
  try {
    Registry<TokenizerTrainer>::instance().create(kind, no_options.root(), {})->train(size, lines);
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

TEST(SentencepieceTraining, SaysExactlyWhichSizesTheLinesAllow) {
  const std::vector<std::vector<std::string>> corpora = {
      {"yes no", "no yes", "yes yes no"}, {"one", "two", "ten"}, {"ab"}, {"да нет", "нет да"}, sample_lines()};
  for (const char* kind : {"bpe", "unigram"})
    for (const std::vector<std::string>& lines : corpora) {
      SCOPED_TRACE(std::string(kind) + ": " + lines[0]);
      const std::string too_large = refusal(kind, 5000, lines), too_small = refusal(kind, 1, lines);
      int smallest = 0, largest = 0;
      const size_t bounds = too_large.find(">= ");
      ASSERT_NE(bounds, std::string::npos) << too_large;
      ASSERT_EQ(std::sscanf(too_large.c_str() + bounds, ">= %d and <= %d", &smallest, &largest), 2) << too_large;
      EXPECT_THAT(too_large, testing::HasSubstr(concat("these ", lines.size(), " lines allow; found 5000; choose")));
      EXPECT_THAT(too_small, testing::EndsWith(too_large.substr(bounds)));
      for (const int size : {smallest, largest}) EXPECT_EQ(refusal(kind, size, lines), "") << size;
      for (const int size : {smallest - 1, largest + 1}) EXPECT_NE(refusal(kind, size, lines), "") << size;
    }
}

TEST(SentencepieceTraining, LeavesNoLineOutForItsCharacters) {
  const TemporaryFolder folder("sentencepiece");
  const std::string path = (folder.path() / "t.model").string();
  train_tokenizer("bpe", 5, {"ab▅c", "abc d"}, path);
  EXPECT_EQ(load_tokenizer(path)->decode(load_tokenizer(path)->encode("c▅d")), "cd");
}

TEST(SentencepieceFile, IsRefusedInOurWords) {
  const TemporaryFolder folder("sentencepiece");
  const std::string path = (folder.path() / "t.model").string();
  FileLayer files;
  write_text(files, path, "not a model");
  try {
    load_tokenizer(path);
    FAIL() << "must be refused";
  } catch (const DataError& error) {
    EXPECT_EQ(error.what(), path +
                                ": expected a sentencepiece model; found 11 bytes that are none; make it with "
                                "`rehearse tokenizer --kind bpe`");
  }
}

TEST(LoadTokenizer, RefusesUnknownNamesAndKinds) {
  const TemporaryFolder folder("tokenizer");
  EXPECT_THROW(load_tokenizer((folder.path() / "t.bin").string()), DataError);
  EXPECT_THROW(load_tokenizer((folder.path() / "absent.txt").string()), DataError);
  EXPECT_THROW(train_tokenizer("words", 10, {"a"}, (folder.path() / "t.txt").string()), ConfigError);
  EXPECT_THROW(train_tokenizer("char", 10, {"a"}, (folder.path() / "t.model").string()), ConfigError);
}

class VocabularyFile : public testing::Test {
 protected:
  VocabularyFile() : folder_("vocabulary") {}
  std::unique_ptr<Tokenizer> load(const std::string& bytes, const std::string& name = "v.txt") {
    FileLayer files;
    write_text(files, folder_.path() / name, bytes);
    return load_tokenizer((folder_.path() / name).string());
  }
  std::string failure(const std::string& bytes) {
    try {
      load(bytes);
    } catch (const DataError& error) {
      const std::string message = error.what();
      return message.substr(message.find("v.txt"));
    }
    return "";
  }
  TemporaryFolder folder_;
};

TEST_F(VocabularyFile, ListsOneCharacterALine) {
  const auto tokenizer = load("rehearse-characters 1\n<space>\nб\na\n");
  EXPECT_EQ(tokenizer->encode("a б"), (std::vector<int32_t>{2, 0, 1}));
  EXPECT_EQ(tokenizer->piece(0), " ");
}

TEST_F(VocabularyFile, MayLackTheLastLineEnd) {
  EXPECT_EQ(load("rehearse-characters 1\na\nb")->size(), 2);
}

TEST_F(VocabularyFile, NamesTheBrokenLine) {
  EXPECT_EQ(failure("rehearse-characters 2\na\n"),
            "v.txt:1: expected \"rehearse-characters 1\"; found \"rehearse-characters 2\"");
  EXPECT_EQ(failure("rehearse-characters 1\na\nbc\n"), "v.txt:3: expected one character, or <space>; found \"bc\"");
  EXPECT_EQ(failure("rehearse-characters 1\na\n\nb\n"), "v.txt:3: expected one character, or <space>; found \"\"");
  EXPECT_EQ(failure("rehearse-characters 1\na\r\n"), "v.txt:2: expected one character, or <space>; found \"a\r\"");
  EXPECT_EQ(failure("rehearse-characters 1\n \n"), "v.txt:2: expected one character, or <space>; found \" \"");
  EXPECT_EQ(failure("rehearse-characters 1\na\na\n"),
            "v.txt:3: expected each character once; found \"a\" again; delete one of the two lines");
  EXPECT_NE(failure("rehearse-characters 1\n\xFF\n"), "");
  EXPECT_NE(failure("rehearse-characters 1\n"), "");
  EXPECT_NE(failure(""), "");
}

TEST_F(VocabularyFile, OfSentencepieceMustBeAModel) {
  EXPECT_THROW(load("", "v.model"), DataError);
  EXPECT_THROW(load("not a model at all", "v.model"), DataError);
}

}  // namespace
}  // namespace rehearse
