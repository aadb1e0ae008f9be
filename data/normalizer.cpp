#include "data/text/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/words.h"

namespace rehearse {

namespace {

constexpr char32_t kZeroWidthNonJoiner = 0x200C;
constexpr char32_t kRightQuote = 0x2019;

std::u32string nfc(const std::u32string& text) {
  const std::string bytes = utf8_of(text);
  utf8proc_uint8_t* composed = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()), static_cast<utf8proc_ssize_t>(bytes.size()),
                   &composed, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  REHEARSE_CHECK(length >= 0, "valid UTF-8 always composes: ", utf8proc_errmsg(length));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(composed, &std::free);
  return code_points({reinterpret_cast<const char*>(composed), static_cast<size_t>(length)});
}

enum class CharacterKind { kWord, kSpace, kMark, kInvisible };

CharacterKind kind_of(char32_t c) {
  if (c == kZeroWidthNonJoiner) return CharacterKind::kSpace;  // separates the parts of Persian compounds
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
      return CharacterKind::kSpace;
    case UTF8PROC_CATEGORY_CF:
      return CharacterKind::kInvisible;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return CharacterKind::kMark;
    default:
      return CharacterKind::kWord;
  }
}

std::u32string lower_without_punctuation(const std::u32string& text) {
  std::u32string visible;
  for (char32_t c : text) {
    if (kind_of(c) == CharacterKind::kInvisible) continue;
    visible.push_back(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
  std::u32string result;
  for (size_t i = 0; i < visible.size(); ++i) {
    const char32_t c = visible[i];
    if (kind_of(c) == CharacterKind::kWord) {
      result.push_back(c);
      continue;
    }
    const bool is_apostrophe = c == U'\'' || c == kRightQuote;
    const bool is_inside = i > 0 && i + 1 < visible.size() && kind_of(visible[i - 1]) == CharacterKind::kWord &&
                           kind_of(visible[i + 1]) == CharacterKind::kWord;
    result.push_back(is_apostrophe && is_inside ? U'\'' : U' ');
  }
  return result;
}

std::u32string single_spaced(const std::u32string& text, bool is_basic) {
  std::u32string result;
  for (char32_t c : text) {
    const bool is_kept_joiner = !is_basic && c == kZeroWidthNonJoiner;
    const bool is_space = kind_of(c) == CharacterKind::kSpace && !is_kept_joiner;
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
  static const std::vector<std::string> names = {"basic/1", "raw/1"};
  return names;
}

Normalizer::Normalizer(const std::string& name) : name_(name), is_basic_(name == "basic/1") {
  expect_one_of("normalizer", name, names());
}

std::string Normalizer::operator()(const std::string& text, const std::string&) const {
  std::u32string points = nfc(code_points(text));
  // Removing characters can bring a letter and its combining mark together, hence the second composition.
  if (is_basic_) points = nfc(lower_without_punctuation(points));
  return utf8_of(single_spaced(points, is_basic_));
}

}  // namespace rehearse
