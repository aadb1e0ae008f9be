#include "data/text/normalizer.h"

#include <string_view>

#include "data/text/annotations.h"
#include "data/text/basic2.h"
#include "data/text/characters.h"
#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/text/words.h"

namespace rehearse {

namespace {

constexpr char32_t kZeroWidthNonJoiner = 0x200C;
constexpr char32_t kRightQuote = 0x2019;
constexpr char32_t kVowelBeforeFinals = 0x11A7;

// As the library that basic/1 and raw/1 were made with composes: this vowel behind a Hangul syllable that has no final
// consonant is lost. The names stand for what they did.
std::u32string composed_as_first(const std::u32string& text) {
  std::u32string result = composed(text);
  if (result.find(kVowelBeforeFinals) == std::u32string::npos) return result;
  std::u32string kept;
  for (char32_t c : result) {
    const bool is_lost = c == kVowelBeforeFinals && !kept.empty() && kept.back() >= 0xAC00 && kept.back() < 0xD7A4 &&
                         (kept.back() - 0xAC00) % 28 == 0;
    if (!is_lost) kept.push_back(c);
  }
  return kept.size() == result.size() ? kept : composed_as_first(kept);
}

CharacterKind first_kind_of(char32_t c) {
  return c == kZeroWidthNonJoiner ? CharacterKind::kSpace : kind_of(c);  // basic/1 parts Persian compounds there
}

std::u32string lower_without_punctuation(const std::u32string& text) {
  std::u32string visible;
  for (char32_t c : text) {
    if (first_kind_of(c) == CharacterKind::kInvisible) continue;
    visible.push_back(lower_case(c));
  }
  std::u32string result;
  for (size_t i = 0; i < visible.size(); ++i) {
    const char32_t c = visible[i];
    if (first_kind_of(c) == CharacterKind::kWord) {
      result.push_back(c);
      continue;
    }
    const bool is_apostrophe = c == U'\'' || c == kRightQuote;
    const bool is_inside = i > 0 && i + 1 < visible.size() && first_kind_of(visible[i - 1]) == CharacterKind::kWord &&
                           first_kind_of(visible[i + 1]) == CharacterKind::kWord;
    result.push_back(is_apostrophe && is_inside ? U'\'' : U' ');
  }
  return result;
}

std::u32string single_spaced(const std::u32string& text, bool is_basic) {
  std::u32string result;
  for (char32_t c : text) {
    const bool is_kept_joiner = !is_basic && c == kZeroWidthNonJoiner;
    const bool is_space = first_kind_of(c) == CharacterKind::kSpace && !is_kept_joiner;
    if (!is_space)
      result.push_back(c);
    else if (!result.empty() && result.back() != U' ')
      result.push_back(U' ');
  }
  if (!result.empty() && result.back() == U' ') result.pop_back();
  return result;
}

}  // namespace

const std::vector<std::string>& Normalizer::names() {
  static const std::vector<std::string> names = {"basic/1", "basic/2", "raw/1"};
  return names;
}

Normalizer::Normalizer(const std::string& name, Annotations annotations)
    : name_(name), drops_annotations_(name == "basic/2" && annotations == Annotations::kDrop) {
  expect_one_of("normalizer", name, names());
}

Normalizer Normalizer::from(ConfigNode data) {
  const std::string name = data.choice("normalizer", kDefault, names());
  const std::string annotations = data.choice("annotations", "drop", {"drop", "keep"});
  return Normalizer(name, annotations == "drop" ? Annotations::kDrop : Annotations::kKeep);
}

std::string Normalizer::operator()(const std::string& text, const std::string& lang) const {
  if (name_ == "basic/2")
    return utf8_of(basic2(code_points(drops_annotations_ ? without_annotations(text) : text), language_code(lang)));
  const bool is_basic = name_ == "basic/1";
  std::u32string points = composed_as_first(code_points(text));
  // Removing characters can bring a letter and its combining mark together, hence the second composition.
  if (is_basic) points = composed_as_first(lower_without_punctuation(points));
  return utf8_of(single_spaced(points, is_basic));
}

}  // namespace rehearse
