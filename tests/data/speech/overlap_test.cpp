#include "data/speech/overlap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/speech/audio/audio_reader.h"
#include "tests/data/speech/tone_reader.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// As the corpus would hold them.
struct Set {
  std::vector<Corpus::Item> items;
  Set& add(const std::string& path, double duration_s, const std::string& text = "", const std::string& speaker = "",
           double offset_s = 0) {
    Corpus::Item& item = items.emplace_back();
    item.utterance = tone_utterance("d", next_number(), duration_s, text, path);
    item.utterance.speaker = speaker;
    item.utterance.offset_s = offset_s;
    item.reference = text;
    return *this;
  }
  std::vector<const Corpus::Item*> pointers() const {
    std::vector<const Corpus::Item*> all;
    for (const Corpus::Item& item : items) all.push_back(&item);
    return all;
  }
  static int next_number() {
    static int number = 0;
    return ++number;
  }
};

SetOverlap overlap_of(const Set& train, const Set& valid, size_t most_reads = 1000) {
  return find_overlap(train.pointers(), valid.pointers(), AudioReaders(), most_reads);
}

TEST(SetOverlap, NothingInCommonIsNothingFound) {
  const SetOverlap overlap =
      overlap_of(Set().add("tone:200", 1.5, "yes", "ann").add("tone:210", 2), Set().add("tone:220", 1.5, "yes", "bob"));
  EXPECT_FALSE(overlap.is_found());
  EXPECT_EQ(overlap.utterances, 1u);
  EXPECT_THAT(overlap.text(), Not(HasSubstr("better")));
  EXPECT_FALSE(overlap_of(Set(), Set()).is_found());
}

TEST(SetOverlap, EqualIdsAreCountedAndNamed) {
  Set train, valid;
  train.add("tone:200", 1).add("tone:300", 2);
  valid.add("tone:400", 3).add("tone:500", 4);
  valid.items[1].utterance.id = train.items[0].utterance.id;
  const SetOverlap overlap = overlap_of(train, valid);
  EXPECT_EQ(overlap.by_id.count, 1u);
  EXPECT_THAT(overlap.by_id.first, ElementsAre(std::pair<std::string, std::string>("tone:500", "tone:200")));
  EXPECT_EQ(overlap.by_audio.count, 0u);
  EXPECT_THAT(overlap.text(), HasSubstr("1 have the id of a training utterance (\"tone:500\" is \"tone:200\")"));
  EXPECT_EQ(overlap.to_json().at("id").at("count"), 1);
}

TEST(SetOverlap, ACopyUnderAnotherNameIsHeardAlsoWhereADurationIsRounded) {
  // 300.0 and 300 Hz are two paths of one sound.
  for (const double rounded_s : {1.2345, 1.2351, 1.234, 1.24}) {
    const SetOverlap overlap = overlap_of(Set().add("tone:300", 1.2345).add("tone:301", 1.2345).add("tone:310", 9),
                                          Set().add("tone:300.0", rounded_s).add("tone:302", 1.2345));
    EXPECT_EQ(overlap.by_audio.count, rounded_s < 1.24 ? 1u : 0u) << rounded_s;
  }
}

TEST(SetOverlap, OnlyEqualLengthsAreListenedTo) {
  Set train, valid;
  for (int i = 0; i < 100; ++i) train.add(concat("tone:", 200 + i), 2 + 0.01 * i);
  valid.add("tone:5000", 1).add("tone:5100", 2.5);
  const int before = num_tone_reads();
  overlap_of(train, valid);
  EXPECT_EQ(num_tone_reads() - before, 2) << "one of each set";
}

TEST(SetOverlap, WhereAllAreOfOneLengthEachIsListenedToOnceAndNoMoreThanAllowed) {
  Set train, valid;
  for (int i = 0; i < 300; ++i) train.add(concat("tone:", 200 + i), 1);
  for (int i = 0; i < 100; ++i) valid.add(concat("tone:", 400 + i, ".0"), 1);
  int before = num_tone_reads();
  const SetOverlap all = overlap_of(train, valid);
  EXPECT_EQ(num_tone_reads() - before, 400);
  EXPECT_EQ(all.by_audio.count, 100u);
  EXPECT_EQ(all.by_audio.first.size(), 3u);
  EXPECT_EQ(all.not_compared, 0u);
  before = num_tone_reads();
  const SetOverlap some = overlap_of(train, valid, 150);
  EXPECT_EQ(num_tone_reads() - before, 150);
  EXPECT_EQ(some.not_compared, 250u);
  EXPECT_THAT(some.text(), HasSubstr("250 files of equal lengths were not listened to"));
}

TEST(SetOverlap, SilenceAndUnreadableFilesAreNoCopies) {
  const SetOverlap overlap = overlap_of(Set().add("tone:silent", 1).add("tone:broken", 2),
                                        Set().add("tone:silent", 1, "", "", 50).add("tone:broken", 2, "", "", 50));
  EXPECT_FALSE(overlap.is_found());
}

TEST(SetOverlap, PartsOfOneFileAreComparedByTheirTimes) {
  Set train, valid;
  train.add("tone:300", 10, "", "", 0).add("tone:300", 10, "", "", 10);
  valid
      .add("tone:300", 3, "", "", 8.4)  // more than half of it in the first
      .add("tone:300", 2, "", "", 25)
      .add("./tone:300", 1, "", "", 19.8);  // a fifth in the second
  const int before = num_tone_reads();
  const SetOverlap overlap = overlap_of(train, valid);
  EXPECT_EQ(overlap.by_audio.count, 1u);
  EXPECT_EQ(num_tone_reads(), before);
}

TEST(SetOverlap, ASentenceCountsWithItsSpeakerAlone) {
  Set train, valid;
  train.add("tone:200", 1, "yes", "ann").add("tone:210", 2, "no", "").add("tone:220", 3, "maybe so", "bob");
  valid.add("tone:400", 4, "yes", "bob").add("tone:410", 5, "no", "").add("tone:420", 6, "maybe so", "bob");
  const SetOverlap overlap = overlap_of(train, valid);
  EXPECT_EQ(overlap.by_sentence.count, 1u);
  EXPECT_EQ(overlap.by_sentence.first.at(0).first, "tone:420");
  EXPECT_THAT(overlap.text(), HasSubstr("the validation CER will look better than it is"));
}

TEST(SetOverlap, NamesCannotChangeTheTerminal) {
  Set train, valid;
  train.add("tone:200", 1);
  valid.add("tone:400\x1b[31m", 2);
  valid.items[0].utterance.id = train.items[0].utterance.id;
  EXPECT_THAT(overlap_of(train, valid).text(), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace rehearse
