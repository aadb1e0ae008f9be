#include "trainer/engine/guards/bad_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/speech/corpus.h"
#include "data/text/tokenizer.h"
#include "tests/data/text/text_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// 100 utterances of the domain calls, 5 of radio.
class BadFilesTest : public ::testing::Test {
 protected:
  BadFilesTest() {
    const std::string vocabulary = folder_ / "characters.txt";
    train_tokenizer("char", 0, {"abc"}, vocabulary);
    std::vector<Utterance> utterances(105);
    for (uint64_t i = 0; i < utterances.size(); ++i) {
      utterances[i].id = i;
      utterances[i].audio_path = "file" + std::to_string(i) + ".wav";
      utterances[i].text = "abc";
      utterances[i].domain = i < 100 ? "calls" : "radio";
      utterances[i].duration_s = 2;
    }
    corpus_.emplace(std::move(utterances), Normalizer("basic/1"), *load_tokenizer(vocabulary), Corpus::Options{},
                    FrameNeeds{});
    dataset_ = corpus_->dataset();
  }
  static Observation observed(uint32_t utterance, bool is_bad) {
    Observation observation;
    observation.draw.utterance = utterance;
    observation.is_bad_file = is_bad;
    return observation;
  }

  TemporaryFolder folder_{"bad_files"};
  std::optional<Corpus> corpus_;
  Dataset dataset_;
};

TEST_F(BadFilesTest, EachIsSaidOnce) {
  BadFiles files(dataset_, 0.2);
  EXPECT_THAT(files.observe(std::vector{observed(3, true), observed(4, false), observed(3, true)}).bad,
              ElementsAre(3u));
  EXPECT_THAT(files.observe(std::vector{observed(3, true), observed(5, true)}).bad, ElementsAre(5u));
  EXPECT_THAT(files.observe(std::vector{observed(5, true)}).bad, IsEmpty());
}

TEST_F(BadFilesTest, OneThatComesBackIsSaidOnceToo) {
  BadFiles files(dataset_, 0.2);
  for (int time = 0; time < 3; ++time) {
    const auto lost = files.observe(std::vector{observed(3, true)});
    EXPECT_EQ(lost.bad.size(), time == 0 ? 1u : 0u) << "a file that comes and goes is not said again and again";
    EXPECT_THAT(lost.recovered, IsEmpty());
    const auto found = files.observe(std::vector{observed(3, false), observed(4, false)});
    EXPECT_EQ(found.recovered.size(), time == 0 ? 1u : 0u);
    EXPECT_THAT(found.bad, IsEmpty());
  }
}

TEST_F(BadFilesTest, FilesThatCameBackNoLongerCount) {
  BadFiles files(dataset_, 0.2);
  for (int pass = 0; pass < 5; ++pass)  // every file fails once, never more than ten at a time
    for (uint32_t first = 0; first < 100; first += 10) {
      std::vector<Observation> lost, back;
      for (uint32_t i = 0; i < 100; ++i) lost.push_back(observed(i, i >= first && i < first + 10));
      for (uint32_t i = 0; i < 100; ++i) back.push_back(observed(i, false));
      EXPECT_NO_THROW(files.observe(lost)) << first;
      EXPECT_NO_THROW(files.observe(back));
    }
}

TEST_F(BadFilesTest, WithinTheShareARunGoesOn) {
  BadFiles files(dataset_, 0.2);
  for (int pass = 0; pass < 3; ++pass)
    for (uint32_t i = 0; i < 100; ++i) EXPECT_NO_THROW(files.observe(std::vector{observed(i, i % 5 == 2)})) << i;
}

TEST_F(BadFilesTest, MoreOfTheWholeDomainEndIt) {
  BadFiles files(dataset_, 0.2);
  EXPECT_NO_THROW(files.observe(std::vector{observed(100, true)}));
  try {
    files.observe(std::vector{observed(101, true), observed(102, false)});
    FAIL() << "two of five";
  } catch (const DataError& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("domain \"radio\": expected at most 20.0% unusable files; found 2 "
                                          "among the 3 drawn so far, e.g. \"file101.wav\""));
  }
}

TEST_F(BadFilesTest, WhereNothingCanBeReadAFewDrawsAreEnough) {
  BadFiles files(dataset_, 0.2);
  uint32_t drawn = 0;
  EXPECT_THROW(
      {
        for (; drawn < 100; ++drawn) files.observe(std::vector{observed(drawn, true)});
      },
      DataError);
  EXPECT_LT(drawn, 10u);
}

TEST_F(BadFilesTest, AShareOfZeroAllowsNoneAndOfOneAll) {
  BadFiles none(dataset_, 0);
  EXPECT_NO_THROW(none.observe(std::vector{observed(1, false)}));
  EXPECT_THROW(none.observe(std::vector{observed(2, true)}), DataError);
  BadFiles all(dataset_, 1);
  for (uint32_t i = 0; i < 105; ++i) EXPECT_NO_THROW(all.observe(std::vector{observed(i, true)}));
}

}  // namespace
}  // namespace rehearse
