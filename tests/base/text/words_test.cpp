#include "trainer/base/text/words.h"

#include "tests/base/config/config_support.h"

namespace rehearse {
namespace {

TEST(NearestWord, PicksTheSmallestEditDistance) {
  EXPECT_EQ(nearest_word("strid", {"kernel", "stride", "channels"}), "stride");
  EXPECT_EQ(nearest_word("trian", {"bench", "train"}), "train");
  EXPECT_EQ(nearest_word("lrr", {"type", "lr"}), "lr");
  EXPECT_EQ(nearest_word("x", {}), "");
}

TEST(NearestWord, IsEmptyWhereNothingIsNear) {
  EXPECT_EQ(nearest_word("gpu", {"cpu", "cuda"}), "");
  EXPECT_EQ(nearest_word("momentum", {"type", "lr", "beta1", "beta2", "eps", "weight_decay", "clip_norm"}), "");
  EXPECT_EQ(nearest_word("early_stop_patience", {"validation", "schedule", "checkpoint"}), "");
  EXPECT_EQ(nearest_word("", {"a"}), "");
}

TEST(ExpectOneOf, ListsWhatIsAllowedAndSuggestsOnlyWhatIsNear) {
  expect_one_of("--kind", "b", {"a", "b"});
  EXPECT_EQ(error_of([] {
              expect_one_of("--kind", "word", {"bpe", "char", "unigram"});
            }),
            "--kind: expected one of bpe, char, unigram; found \"word\"");
  EXPECT_EQ(error_of([] {
              expect_one_of("--kind", "chr", {"bpe", "char", "unigram"});
            }),
            "--kind: expected one of bpe, char, unigram; found \"chr\"; did you mean \"char\"?");
}

}  // namespace
}  // namespace rehearse
