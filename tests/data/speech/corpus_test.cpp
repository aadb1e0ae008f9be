#include "data/speech/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <set>

#include "data/speech/audio/audio_reader.h"
#include "models/kernels/ctc/ctc_length.h"
#include "tests/data/speech/tone_reader.h"
#include "tests/data/text/text_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

class CorpusTest : public testing::Test {
 protected:
  CorpusTest() : folder_("corpus") {
    const std::string path = (folder_.path() / "t.txt").string();
    train_tokenizer("char", 0, {"abcdefghijklmnopqrstuvwxyz "}, path);
    tokenizer_ = load_tokenizer(path);
  }

  Corpus build(const std::vector<Utterance>& utterances, const Corpus::Options& options = tolerant(),
               const std::function<int64_t(double)>& frames = nullptr) const {
    return Corpus(utterances, Normalizer("basic/1"), *tokenizer_, options, {ctc_frames_needed, frames});
  }
  static Corpus::Options tolerant() {
    Corpus::Options options;
    options.max_rejected_share = 1;
    return options;
  }
  std::string reason_for(const Utterance& utterance, const std::function<int64_t(double)>& frames = nullptr,
                         Corpus::Options options = tolerant()) const {
    const Corpus corpus = build({utterance}, options, frames);
    EXPECT_EQ(corpus.items().size() + corpus.rejections().size(), 1u);
    return corpus.rejections().empty() ? "" : corpus.rejections()[0].reason;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(CorpusTest, SaysWhichCharactersAndAnnotationsNobodyLearns) {
  const Corpus corpus = build({tone_utterance("loud", 1, 1, "é né ña"), tone_utterance("loud", 2, 1, "é [laughs] é"),
                               tone_utterance("loud", 3, 1, "ЖЖ"), tone_utterance("soft", 4, 1, "fine")});
  EXPECT_THAT(
      corpus.text_losses().unknown_lines(),
      testing::ElementsAre("domain \"loud\": 7 characters in 3 utterances are not in the vocabulary: é (U+00E9) 4 "
                           "times, ж (U+0436) 2 times, ñ (U+00F1) once"));
  EXPECT_THAT(corpus.text_losses().annotation_lines(),
              testing::ElementsAre("domain \"loud\": 1 texts hold annotations: [laughs] once"));
}

TEST_F(CorpusTest, LowersEachTextInItsLanguage) {
  Utterance turkish = tone_utterance("d", 1, 1, "IŞIK");
  turkish.lang = "tr-TR";
  const Corpus corpus({turkish}, Normalizer("basic/2"), *tokenizer_, tolerant(), {});
  EXPECT_EQ(corpus.items().at(0).reference, "ışık");
}

TEST_F(CorpusTest, SortsByDomainThenId) {
  std::vector<Utterance> utterances;
  for (int i = 0; i < 30; ++i)
    utterances.push_back(tone_utterance(i % 3 == 0 ? "zulu" : i % 3 == 1 ? "alpha" : "mike", i, 1, "Text"));
  const Corpus corpus = build(utterances);
  EXPECT_EQ(corpus.domains(), (std::vector<std::string>{"alpha", "mike", "zulu"}));
  ASSERT_EQ(corpus.items().size(), 30u);
  for (size_t i = 0; i < 30; ++i) {
    const Corpus::Item& item = corpus.items()[i];
    EXPECT_EQ(corpus.domains()[item.domain], item.utterance.domain);
    EXPECT_EQ(item.reference, "text");
    EXPECT_EQ(tokenizer_->decode(item.tokens), "text");
    if (i > 0 && corpus.items()[i - 1].domain == item.domain) {
      EXPECT_LT(corpus.items()[i - 1].utterance.id, item.utterance.id);
    }
  }
  EXPECT_DOUBLE_EQ(corpus.total_seconds(), 30);
}

TEST_F(CorpusTest, IsTheSameForEveryOrderOfTheLines) {
  std::vector<Utterance> utterances;
  for (int i = 0; i < 10; ++i) utterances.push_back(tone_utterance(i % 2 ? "a" : "b", i, 1, "text"));
  const std::string hash = build(utterances).hash();
  std::reverse(utterances.begin(), utterances.end());
  EXPECT_EQ(build(utterances).hash(), hash);
  EXPECT_EQ(hash.size(), 64u);
}

TEST_F(CorpusTest, HashFollowsTextsDurationsAndIds) {
  const auto hash_of = [&](const Utterance& u) { return build({u, tone_utterance("a", 9, 1, "x")}).hash(); };
  const std::set<std::string> hashes = {
      hash_of(tone_utterance("a", 0, 1, "text")),   hash_of(tone_utterance("a", 0, 1, "texts")),
      hash_of(tone_utterance("a", 0, 1.5, "text")), hash_of(tone_utterance("a", 1, 1, "text")),
      hash_of(tone_utterance("b", 0, 1, "text")),   build({}).hash()};
  EXPECT_EQ(hashes.size(), 6u);
  // The audio's place is not part of it.
  EXPECT_EQ(hash_of(tone_utterance("a", 0, 1, "text", "tone:1")), hash_of(tone_utterance("a", 0, 1, "text", "tone:2")));
}

TEST_F(CorpusTest, OfNothingIsEmpty) {
  const Corpus corpus = build({});
  EXPECT_TRUE(corpus.items().empty());
  EXPECT_TRUE(corpus.domains().empty());
  EXPECT_EQ(corpus.total_seconds(), 0);
}

TEST_F(CorpusTest, SaysWhyAnUtteranceIsLeftOut) {
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 1, "text")), "");
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 20.001, "text")), "too long");
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 20, "text")), "");
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 0.0999, "text")), "too short");
  EXPECT_EQ(reason_for(tone_utterance("a", 0, std::nan(""), "text")), "too short");
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 1, " ?! ")), "empty text");
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 1, "ёж")), "no known character");
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 1, "\xFFtext")),
            "unreadable: text: expected UTF-8; found byte 0xFF at position 0; convert the transcript to UTF-8");
}

TEST_F(CorpusTest, CountsRepeatsWhenItChecksFeasibility) {
  const auto frames = [](double duration_s) { return static_cast<int64_t>(duration_s * 10); };
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 0.5, "hello"), frames), "infeasible: 6 frames needed, 5 there");
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 0.6, "hello"), frames), "");
  Corpus::Options options = tolerant();
  options.drop_infeasible = false;
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 0.5, "hello"), frames, options), "");
}

TEST_F(CorpusTest, OpensNoFiles) {
  const int before = num_tone_reads();
  EXPECT_EQ(reason_for(tone_utterance("a", 0, 1, "text", "tone:broken")), "");
  EXPECT_EQ(num_tone_reads(), before);
}

TEST_F(CorpusTest, NamesTheDomainThatLosesTooMuch) {
  std::vector<Utterance> utterances;
  for (int i = 0; i < 10; ++i) utterances.push_back(tone_utterance("good", i, i == 0 ? 30 : 1, "text"));
  for (int i = 0; i < 10; ++i)
    utterances.push_back(tone_utterance("bad", i, i < 2 ? 30 : i < 3 ? 0.01 : 1, "text", concat("tone:", i)));
  Corpus::Options options;
  options.max_rejected_share = 0.3;
  EXPECT_EQ(build(utterances, options).rejections().size(), 4u);
  options.max_rejected_share = 0.2;
  try {
    build(utterances, options);
    FAIL() << "three of ten are too many";
  } catch (const DataError& error) {
    const std::string message = error.what();
    EXPECT_EQ(
        message.find("domain \"bad\": expected at most 20.0 % unusable utterances; found 30.0 % (3 of 10), most of "
                     "them too long (2, e.g. \"tone:"),
        0u)
        << message;
  }
}

TEST_F(CorpusTest, RefusesEqualIds) {
  EXPECT_THROW(build({tone_utterance("a", 1, 1, "x"), tone_utterance("a", 1, 1, "y")}), DataError);
}

// Feasibility of real speech at stride 8 and a hop of 10 ms, known from an independent count.
class CtcFeasibility : public testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("REHEARSE_TEST_DATA");
    if (data == nullptr) GTEST_SKIP() << "REHEARSE_TEST_DATA is not set: no real speech was counted";
    data_ = data;
  }
  std::vector<Utterance> train(const std::string& domain) const {
    return read_manifest(data_ + "/" + domain + "/train.jsonl");
  }

  double infeasible_percent(const std::string& domain, const Tokenizer& tokenizer,
                            const std::function<int64_t(double)>& frames) const {
    Corpus::Options options;
    options.max_rejected_share = 1;
    const Corpus corpus(train(domain), Normalizer("raw/1"), tokenizer, options, {ctc_frames_needed, frames});
    double infeasible = 0;
    for (const Rejection& rejection : corpus.rejections())
      infeasible += rejection.reason.rfind("infeasible", 0) == 0 ? 1 : 0;
    return 100 * infeasible / static_cast<double>(corpus.items().size() + corpus.rejections().size());
  }

  std::unique_ptr<Tokenizer> trained_on(const std::string& domain, const std::string& kind, int size) const {
    const TemporaryFolder folder("real");
    std::vector<std::string> lines;
    for (const Utterance& utterance : train(domain)) lines.push_back(Normalizer("raw/1")(utterance.text));
    const std::string path = (folder.path() / (kind == "char" ? "t.txt" : "t.model")).string();
    train_tokenizer(kind, size, lines, path);
    return load_tokenizer(path);
  }
  std::string data_;
};

int64_t floor_frames(double duration_s) {
  return static_cast<int64_t>(std::floor(duration_s / 0.08));
}
int64_t ceil_frames(double duration_s) {
  return static_cast<int64_t>(std::ceil(duration_s / 0.08));
}

TEST_F(CtcFeasibility, CharactersDoNotFitStride8) {
  const auto book = trained_on("book_en", "char", 0), digits = trained_on("digits_en", "char", 0);
  EXPECT_NEAR(infeasible_percent("book_en", *book, floor_frames), 89.4, 0.05);
  EXPECT_NEAR(infeasible_percent("digits_en", *digits, floor_frames), 22.9, 0.05);
  EXPECT_NEAR(infeasible_percent("book_en", *book, ceil_frames), 88.4, 0.05);
  EXPECT_NEAR(infeasible_percent("digits_en", *digits, ceil_frames), 9.4, 0.05);
}

TEST_F(CtcFeasibility, SubwordsDo) {
  EXPECT_EQ(infeasible_percent("book_en", *trained_on("book_en", "bpe", 300), floor_frames), 0);
}

}  // namespace
}  // namespace rehearse
