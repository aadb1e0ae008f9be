#include "data/text/text_losses.h"

#include <algorithm>
#include <cstdio>

#include "data/text/annotations.h"
#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse {

namespace {

constexpr size_t kShown = 12;
constexpr size_t kMostAnnotations = 1000;  // distinct ones that are told apart

std::string times(int64_t count) {
  return count == 1 ? "once" : concat(count, " times");
}

// "a, b, c and 5 more", the commonest first.
template <class Key, class Shown>
std::string commonest(const std::map<Key, int64_t>& counts, const Shown& shown) {
  std::vector<std::pair<Key, int64_t>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (size_t i = 0; i < std::min(kShown, order.size()); ++i)
    text += concat(i > 0 ? ", " : "", shown(order[i].first), " ", times(order[i].second));
  return order.size() > kShown ? concat(text, " and ", order.size() - kShown, " more") : text;
}

std::string shown_character(char32_t c) {
  char code[16];
  std::snprintf(code, sizeof code, "(U+%04X)", static_cast<unsigned>(c));
  return concat(printable(utf8_of({&c, 1})), " ", code);
}

}  // namespace

const char* const kUnknownInTraining =
    "training leaves them out; make the vocabulary of all training manifests with `rehearse tokenizer`, or correct the "
    "texts";
const char* const kUnknownInScoring = "no model with this vocabulary can write them, so each counts as an error";

std::string annotations_advice(bool are_dropped) {
  return are_dropped ? "they are dropped; data.annotations: keep makes words of them"
                     : "their words are learned; data.annotations: drop leaves them out (data.normalizer: basic/2)";
}

void TextLosses::add_source(const std::string& domain, const std::string& text) {
  std::vector<std::string> found;
  without_annotations(text, &found);
  if (found.empty()) return;
  Domain& counts = domains_[domain];
  ++counts.annotated_texts;
  for (const std::string& one : found)
    if (counts.annotations.size() < kMostAnnotations || counts.annotations.contains(one)) ++counts.annotations[one];
}

void TextLosses::add_unknown(const std::string& domain, const std::string& reference, int num_unknown,
                             const Tokenizer& tokenizer) {
  if (num_unknown == 0) return;
  Domain& counts = domains_[domain];
  counts.unknown += num_unknown;
  ++counts.unknown_texts;
  for (char32_t c : code_points(reference)) {
    const auto [known, is_new] = is_unknown_.emplace(c, false);
    if (is_new) {
      int alone = 0;
      tokenizer.encode(utf8_of({&c, 1}), &alone);
      known->second = alone > 0;
    }
    if (known->second) ++counts.characters[c];
  }
}

TextLosses& TextLosses::operator+=(const TextLosses& other) {
  for (const auto& [name, theirs] : other.domains_) {
    Domain& own = domains_[name];
    own.unknown += theirs.unknown;
    own.unknown_texts += theirs.unknown_texts;
    own.annotated_texts += theirs.annotated_texts;
    for (const auto& [character, count] : theirs.characters) own.characters[character] += count;
    for (const auto& [annotation, count] : theirs.annotations) own.annotations[annotation] += count;
  }
  return *this;
}

std::vector<std::string> TextLosses::unknown_lines() const {
  std::vector<std::string> lines;
  for (const auto& [name, counts] : domains_)
    if (counts.unknown > 0)
      lines.push_back(concat("domain ", quoted(name), ": ", counts.unknown, " characters in ", counts.unknown_texts,
                             " utterances are not in the vocabulary: ", commonest(counts.characters, shown_character)));
  return lines;
}

std::vector<std::string> TextLosses::annotation_lines() const {
  std::vector<std::string> lines;
  for (const auto& [name, counts] : domains_)
    if (counts.annotated_texts > 0)
      lines.push_back(concat("domain ", quoted(name), ": ", counts.annotated_texts, " texts hold annotations: ",
                             commonest(counts.annotations, [](const std::string& one) { return printable(one); })));
  return lines;
}

}  // namespace rehearse
