#include "data/speech/synth/grammar.h"

#include <algorithm>
#include <sstream>

#include "trainer/base/error.h"

namespace rehearse::synth {

Grammar::Grammar(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream tokens(line);
    std::string name;
    if (!(tokens >> name)) continue;
    REHEARSE_CHECK(name.size() > 1 && name.back() == ':', "a rule starts with its name and a colon; found ", line);
    name.pop_back();
    std::vector<Alternative>& alternatives = rules_[name];
    alternatives.emplace_back();
    for (std::string token; tokens >> token;) {
      const bool is_rule = token.size() > 2 && token.front() == '{' && token.back() == '}';
      if (token == "|")
        alternatives.emplace_back();
      else if (is_rule)
        alternatives.back().push_back({token.substr(1, token.size() - 2), true});
      else
        alternatives.back().push_back({token, false});
    }
  }
  std::vector<std::string> path;
  expect_finite("sentence", path);
}

const std::vector<Grammar::Alternative>& Grammar::rule(const std::string& name) const {
  const auto found = rules_.find(name);
  REHEARSE_CHECK(found != rules_.end(), "every rule that is used is defined; found none called ", name);
  return found->second;
}

void Grammar::expect_finite(const std::string& name, std::vector<std::string>& path) const {
  REHEARSE_CHECK(std::find(path.begin(), path.end(), name) == path.end(), "no rule contains itself; found ", name);
  path.push_back(name);
  for (const Alternative& alternative : rule(name))
    for (const Symbol& symbol : alternative)
      if (symbol.is_rule) expect_finite(symbol.text, path);
  path.pop_back();
}

std::string Grammar::expand(const RandomKey& key) const {
  std::string out;
  uint64_t draws = 0;
  expand_rule("sentence", key, draws, out);
  return out;
}

void Grammar::expand_rule(const std::string& name, const RandomKey& key, uint64_t& draws, std::string& out) const {
  const std::vector<Alternative>& alternatives = rule(name);
  for (const Symbol& symbol : alternatives[key.below(alternatives.size(), draws++)]) {
    if (symbol.is_rule) {
      expand_rule(symbol.text, key, draws, out);
      continue;
    }
    if (!out.empty()) out += ' ';
    out += symbol.text;
  }
}

double Grammar::num_derivations() const {
  return count("sentence");
}

double Grammar::count(const std::string& name) const {
  double sum = 0;
  for (const Alternative& alternative : rule(name)) {
    double product = 1;
    for (const Symbol& symbol : alternative)
      if (symbol.is_rule) product *= count(symbol.text);
    sum += product;
  }
  return sum;
}

std::set<std::string> Grammar::words() const {
  std::set<std::string> words;
  collect("sentence", words);
  return words;
}

void Grammar::collect(const std::string& name, std::set<std::string>& words) const {
  for (const Alternative& alternative : rule(name)) {
    for (const Symbol& symbol : alternative) {
      if (symbol.is_rule)
        collect(symbol.text, words);
      else
        words.insert(symbol.text);
    }
  }
}

}  // namespace rehearse::synth
