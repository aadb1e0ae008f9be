// A tiny context-free grammar that spells sentences.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "trainer/base/random.h"

namespace rehearse::synth {

// Text of rules, one a line: "name: alternative | alternative". {name} inside an alternative stands for a rule, all
// else is words; the first rule of a name wins a line of its own, later lines of that name add alternatives. Sentences
// start at the rule "sentence". Immutable once built.
class Grammar {
 public:
  // BugError for an unknown rule, a rule that contains itself or a missing "sentence": grammars are part of the
  // program.
  explicit Grammar(const std::string& text);

  // A sentence as a function of the key; all alternatives of a rule are equally likely.
  std::string expand(const RandomKey& key) const;
  // Ways to derive a sentence; at least the number of distinct sentences.
  double num_derivations() const;
  // Every word of every alternative that "sentence" can reach.
  std::set<std::string> words() const;

 private:
  struct Symbol {
    std::string text;
    bool is_rule = false;
  };
  using Alternative = std::vector<Symbol>;

  const std::vector<Alternative>& rule(const std::string& name) const;
  void expand_rule(const std::string& name, const RandomKey& key, uint64_t& draws, std::string& out) const;
  double count(const std::string& name) const;
  void collect(const std::string& name, std::set<std::string>& words) const;
  void expect_finite(const std::string& name, std::vector<std::string>& path) const;

  std::map<std::string, std::vector<Alternative>> rules_;
};

}  // namespace rehearse::synth
