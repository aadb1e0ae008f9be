#include "trainer/tasks/speech/examine/learning_doubts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/text/text_support.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

LearningMaterial material(double speech_s, std::vector<uint64_t> token_counts, uint64_t parameters) {
  LearningMaterial made;
  made.speech_s = speech_s;
  made.token_counts = std::move(token_counts);
  made.parameters = parameters;
  return made;
}

// `share` of the frames are blank, for `updates` updates; everything that is said meanwhile.
std::string heard(SilenceWatch& watch, double share, int updates) {
  std::string said;
  for (int i = 0; i < updates; ++i) said += watch.observe(1000 * share, 1000);
  return said;
}

TEST(LearningDoubts, CharactersForHalfAnHourRaiseNone) {
  std::vector<uint64_t> counts(34, 700);
  counts[3] = counts[7] = 4;
  EXPECT_THAT(learning_doubts(material(2190, counts, 565'000)), IsEmpty());
}

TEST(LearningDoubts, AVocabularyThatIsHardlySeenRaisesOne) {
  std::vector<uint64_t> counts(300, 19);
  std::fill(counts.begin(), counts.begin() + 150, 60);
  LearningMaterial few = material(2190, counts, 565'000);
  few.has_subwords = true;
  EXPECT_THAT(learning_doubts(few),
              ElementsAre(AllOf(HasSubstr("150 of 300"), HasSubstr("0.61 h"), HasSubstr("--kind char"))));
  std::fill(counts.begin() + 150, counts.end(), 20);
  EXPECT_THAT(learning_doubts(material(2190, counts, 565'000)), IsEmpty());
}

TEST(LearningDoubts, ANetworkFarLargerThanItsSpeechRaisesOne) {
  EXPECT_THAT(learning_doubts(material(3600, {100}, 20'000'000)),
              ElementsAre(AllOf(HasSubstr("20000000 for 1.00 h"), HasSubstr("by heart"))));
}

TEST(LearningDoubts, MaterialIsCountedFromTheTexts) {
  const TemporaryFolder folder("doubts");
  train_tokenizer("char", 0, {"abc"}, folder / "characters.txt");
  const auto tokenizer = load_tokenizer(folder / "characters.txt");
  std::vector<Corpus::Item> items(2);
  items[0].utterance.duration_s = 1.5;
  items[0].tokens = {0, 1, 1};
  items[1].utterance.duration_s = 2;
  items[1].tokens = {1};
  const LearningMaterial found = LearningMaterial::of(items, *tokenizer, 10);
  EXPECT_EQ(found.speech_s, 3.5);
  EXPECT_THAT(found.token_counts, ElementsAre(1u, 3u, 0u));
  EXPECT_FALSE(found.has_subwords);
  EXPECT_THAT(material_text(found), HasSubstr("3 tokens, 3 of them in the texts fewer than 20 times"));
}

TEST(SilenceWatch, SilenceIsSaidOnceAndItsEndToo) {
  SilenceWatch watch;
  EXPECT_THAT(heard(watch, 0.4, 10), IsEmpty());  // a fresh model says anything
  EXPECT_THAT(heard(watch, 1, 19), IsEmpty());
  const std::string first = heard(watch, 1, 200);
  EXPECT_THAT(first, AllOf(HasSubstr("warning: the model says nothing"), HasSubstr("100.00 %")));
  EXPECT_EQ(first.find("warning", 1), first.npos) << "once";
  EXPECT_TRUE(watch.is_silent());
  EXPECT_THAT(heard(watch, 0.9, 20), HasSubstr("begun to say something"));
  EXPECT_FALSE(watch.is_silent());
}

TEST(SilenceWatch, AHealthyRunThatIsNearlySilentIsLeftAlone) {
  SilenceWatch watch;
  EXPECT_THAT(heard(watch, 0.9985, 500), IsEmpty());
}

TEST(SilenceWatch, UpdatesWithoutFramesDoNotCount) {
  SilenceWatch watch;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(watch.observe(0, 0), "");
  EXPECT_FALSE(watch.is_silent());
}

}  // namespace
}  // namespace rehearse
