#include "data/speech/synth/grammar.h"

#include <gtest/gtest.h>

#include "data/speech/synth/domains.h"
#include "trainer/base/error.h"

namespace rehearse::synth {
namespace {

using Words = std::set<std::string>;

Words words_without(const std::string& left_out) {
  Words words;
  for (const Domain& domain : all_domains())
    if (domain.name != left_out) words.merge(domain.grammar.words());
  return words;
}

TEST(Grammar, ExpandsRulesAndCountsDerivations) {
  const Grammar grammar("sentence: go {where} | stop\nwhere: left | right {far}\nfar: now | soon\nunused: never");
  EXPECT_EQ(grammar.num_derivations(), 4);
  EXPECT_EQ(grammar.words(), (Words{"go", "left", "now", "right", "soon", "stop"}));
  Words seen;
  for (uint64_t i = 0; i < 100; ++i) seen.insert(grammar.expand(RandomKey(i)));
  EXPECT_EQ(seen, (Words{"go left", "go right now", "go right soon", "stop"}));
}

TEST(Grammar, AddsUpLinesOfOneRule) {
  EXPECT_EQ(Grammar("sentence: one\nsentence: two | three").num_derivations(), 3);
}

TEST(Grammar, RefusesUnknownAndCircularRules) {
  EXPECT_THROW(Grammar("sentence: {other}"), BugError);
  EXPECT_THROW(Grammar("sentence: a {b}\nb: c {sentence}"), BugError);
  EXPECT_THROW(Grammar("where: left"), BugError);
}

TEST(Domains, SayAtLeastThreeHundredWordTypes) {
  EXPECT_GE(words_without("").size(), 300u);
}

TEST(Domains, EachHasWordsOfItsOwn) {
  for (const Domain& domain : all_domains()) {
    const Words others = words_without(domain.name);
    size_t num_own = 0;
    for (const std::string& word : domain.grammar.words()) num_own += others.contains(word) ? 0 : 1;
    EXPECT_GE(num_own, domain.name == "drive" ? 100u : 30u) << domain.name;
  }
}

TEST(Domains, CanSayTwoThousandDistinctSentencesEach) {
  for (const Domain& domain : all_domains()) {
    Words sentences;
    for (uint64_t i = 0; i < 8000; ++i) sentences.insert(domain.grammar.expand(RandomKey(1).with(i)));
    EXPECT_GE(sentences.size(), 2000u) << domain.name;
  }
}

TEST(Domains, SpellEverythingInLowerCaseLetters) {
  for (const std::string& word : words_without(""))
    EXPECT_EQ(word.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), std::string::npos) << word;
}

}  // namespace
}  // namespace rehearse::synth
