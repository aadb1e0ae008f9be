#include "trainer/engine/evaluator.h"

#include <gtest/gtest.h>

#include "data/text/tokenizer.h"
#include "tests/data/text_support.h"

namespace rehearse {
namespace {

TEST(ScoresByDomain, TheLossIsPerTokenOfWhatHasOne) {
  const TemporaryFolder folder("evaluator");
  const std::string path = (folder.path() / "tokenizer.txt").string();
  train_tokenizer("char", 0, {"abc "}, path);
  const auto tokenizer = load_tokenizer(path);
  std::vector<Utterance> utterances;
  for (const std::string text : {"a b", "ab", "abcabc"}) {
    utterances.push_back({});
    utterances.back().id = utterances.size();
    utterances.back().audio_path = text + ".wav";
    utterances.back().text = text;
    utterances.back().domain = "d";
    utterances.back().duration_s = 1;
  }
  const Corpus corpus(utterances, Normalizer("basic/1"), *tokenizer, {}, {});
  ASSERT_EQ(corpus.items().size(), 3u);
  std::vector<UtteranceScore> scores(3);
  for (uint32_t i = 0; i < 3; ++i) scores[i].utterance = i;
  scores[0].loss = 6;
  scores[1].loss = 4;  // the third has more tokens than frames, or cannot be read: no loss
  const std::vector<DomainScore> domains = scores_by_domain(corpus, scores);
  ASSERT_EQ(domains.size(), 1u);
  EXPECT_DOUBLE_EQ(domains[0].loss_per_token, 10.0 / (3 + 2));
  EXPECT_EQ(domains[0].utterances, 3u);
}

}  // namespace
}  // namespace rehearse
