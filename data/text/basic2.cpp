#include "data/text/basic2.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include "data/text/characters.h"
#include "trainer/base/error.h"

namespace rehearse {

namespace {

constexpr char32_t kZeroWidthSpace = 0x200B, kNonJoiner = 0x200C, kJoiner = 0x200D;
constexpr char32_t kDotAbove = 0x0307, kDotlessI = 0x0131, kSigma = 0x03C3, kFinalSigma = 0x03C2;
constexpr char32_t kOkina = 0x02BB, kMiddleDot = 0x00B7, kHyphenationPoint = 0x2027;
constexpr char32_t kGeresh = 0x05F3, kGershayim = 0x05F4;
// What is typed for an apostrophe: ' ’ ‘ ‛ ʼ ʻ ʽ ´ ` ′ ‵ ՚ ᾽ ᾿ and the Hebrew ׳; ＇ and ｀ have become ' and ` before.
constexpr std::u32string_view kApostrophes =
    U"'\u2019\u2018\u201B\u02BC\u02BB\u02BD\u00B4`\u2032\u2035\u055A\u1FBD\u1FBF\u05F3";
// What is typed for a gershayim: " “ ” „ ″ ״.
constexpr std::u32string_view kDoubleQuotes = U"\"\u201C\u201D\u201E\u2033\u05F4";

uint32_t category(char32_t c) {
  return U_GET_GC_MASK(static_cast<UChar32>(c));
}

int32_t property(char32_t c, UProperty which) {
  return u_getIntPropertyValue(static_cast<UChar32>(c), which);
}

bool has(char32_t c, UProperty which) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), which) != 0;
}

UScriptCode script_of(char32_t c) {
  UErrorCode status = U_ZERO_ERROR;
  return uscript_getScript(static_cast<UChar32>(c), &status);
}

bool is_joiner(char32_t c) {
  return c == kJoiner || c == kNonJoiner;
}

bool is_apostrophe(char32_t c) {
  return kApostrophes.find(c) != std::u32string_view::npos;
}

// Combining marks, and the joiners that are left: a word goes on behind them.
bool extends(char32_t c) {
  return is_joiner(c) || (category(c) & U_GC_M_MASK) != 0;
}

bool is_letter(char32_t c) {
  return (category(c) & U_GC_L_MASK) != 0;
}

// Modifier symbols that Unicode counts among the letters of a word (the colon of Budu, tone letters) are part of it.
bool is_word(char32_t c) {
  if (is_joiner(c) || kind_of(c) == CharacterKind::kWord) return true;
  return (category(c) & U_GC_SK_MASK) != 0 && property(c, UCHAR_WORD_BREAK) == U_WB_ALETTER;
}

// ---- characters that are only another shape of others

const icu::Normalizer2& compatibility() {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFKCInstance(status);
  REHEARSE_CHECK(U_SUCCESS(status), "ICU carries its data: ", u_errorName(status));
  return *form;
}

std::u32string decomposition(char32_t c) {
  icu::UnicodeString units;
  std::u32string result;
  if (!compatibility().getRawDecomposition(static_cast<UChar32>(c), units)) return result;
  for (int32_t i = 0; i < units.length(); i = units.moveIndex32(i, 1))
    result.push_back(static_cast<char32_t>(units.char32At(i)));
  return result;
}

// Ligatures, digraphs and radicals: other letters in one character. Not the jamo and Thai vowels of the same property.
bool is_letters_in_one(char32_t c, const std::u32string& parts) {
  switch (script_of(c)) {
    case USCRIPT_LATIN:
    case USCRIPT_GREEK:
    case USCRIPT_ARMENIAN:
    case USCRIPT_HEBREW:
    case USCRIPT_ARABIC:
    case USCRIPT_HAN:
      break;
    default:
      return false;
  }
  for (char32_t part : parts)
    if (!is_letter(part) && part != kMiddleDot) return false;
  return true;
}

// What c is another shape of: wide, narrow, presentation forms, fonts, ligatures. Empty: nothing.
std::u32string plain_form(char32_t c) {
  std::u32string parts;
  switch (property(c, UCHAR_DECOMPOSITION_TYPE)) {
    case U_DT_WIDE:
    case U_DT_NARROW:
    case U_DT_SMALL:
    case U_DT_VERTICAL:
    case U_DT_FONT:
    case U_DT_INITIAL:
    case U_DT_MEDIAL:
    case U_DT_FINAL:
    case U_DT_ISOLATED:
      parts = decomposition(c);
      // A vowel sign shown alone stands on a space there.
      if (parts.size() > 1 && parts[0] == U' ' && extends(parts[1])) parts.erase(0, 1);
      return parts;
    case U_DT_COMPAT:
      parts = decomposition(c);
      return is_letters_in_one(c, parts) ? parts : std::u32string();
    default:
      return parts;
  }
}

// Nothing that is spoken or spelt: what Unicode lets programs ignore, enclosing marks (a circle around a letter), what
// only lengthens a join (tatweel), and the signs of tone that Armenian writes inside a word.
bool is_ornament(char32_t c) {
  if (has(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) || (category(c) & U_GC_ME_MASK) != 0) return true;
  if (property(c, UCHAR_JOINING_TYPE) == U_JT_JOIN_CAUSING) return true;
  return (category(c) & U_GC_PO_MASK) != 0 && property(c, UCHAR_WORD_BREAK) == U_WB_ALETTER && !is_apostrophe(c);
}

void append_plain(char32_t c, std::u32string& out) {
  constexpr char32_t kFirstOdd = 0xA0;  // no character before it is anything but itself
  if (c < kFirstOdd) {
    out.push_back(c);
  } else if (c == kZeroWidthSpace) {
    out.push_back(U' ');
  } else if (is_joiner(c)) {
    if (out.empty() || !is_joiner(out.back())) out.push_back(c);
  } else if (!is_ornament(c)) {
    const std::u32string parts = plain_form(c);
    if (parts.empty()) out.push_back(c);
    for (char32_t part : parts) append_plain(part, out);
  }
}

// ---- joiners

bool is_virama(char32_t c) {
  return u_getCombiningClass(static_cast<UChar32>(c)) == 9;
}

// A letter of a script whose letters join: there a non-joiner parts the pieces of one word.
bool is_cursive(char32_t c) {
  if (!is_letter(c)) return false;
  const int32_t type = property(c, UCHAR_JOINING_TYPE);
  return type == U_JT_DUAL_JOINING || type == U_JT_RIGHT_JOINING || type == U_JT_LEFT_JOINING ||
         script_of(c) == USCRIPT_ARABIC;
}

// Whether the joiner at i spells: next to a virama inside a word (a joiner also at its end: old chillus), and a
// non-joiner between cursive letters.
bool is_spelling(const std::u32string& text, size_t i) {
  if (i == 0) return false;
  const char32_t before = text[i - 1], after = i + 1 < text.size() ? text[i + 1] : U' ';
  if (is_virama(before))
    return i > 1 && extends(before) && is_word(text[i - 2]) && !is_apostrophe(text[i - 2]) &&
           (text[i] == kJoiner || (is_letter(after) && !is_apostrophe(after)));
  if (is_virama(after)) return (is_letter(before) && !is_apostrophe(before)) || extends(before);
  if (text[i] == kJoiner) return false;
  size_t base = i - 1;
  while (base > 0 && extends(text[base])) --base;
  return is_cursive(text[base]) && is_cursive(after);
}

std::u32string with_spelling_joiners(std::u32string text) {
  while (true) {
    std::u32string kept;
    for (size_t i = 0; i < text.size(); ++i)
      if (!is_joiner(text[i]) || is_spelling(text, i)) kept.push_back(text[i]);
    if (kept.size() == text.size()) return text;
    text = composed(kept);  // marks come together where a joiner was
  }
}

// ---- case

// Whether a dot above would stand on a letter that has one: i, j and their kin.
bool ends_in_soft_dot(const std::u32string& text) {
  for (size_t i = text.size(); i-- > 0;) {
    const uint8_t order = u_getCombiningClass(static_cast<UChar32>(text[i]));
    if (order == 0) return has(text[i], UCHAR_SOFT_DOTTED);
    if (order == 230) return false;
  }
  return false;
}

std::u32string in_lower_case(const std::u32string& text, const std::string& language) {
  const bool has_dotless_i = language == "tr" || language == "az" || language == "crh" || language == "gag";
  std::u32string result;
  result.reserve(text.size());
  for (char32_t c : text) {
    if (c == kDotAbove && ends_in_soft_dot(result)) continue;
    result.push_back(has_dotless_i && c == U'I' ? kDotlessI : lower_case(c));
  }
  return result;
}

// Every small sigma as its place in the word demands (Unicode's Final_Sigma), whatever was typed.
void place_sigmas(std::u32string& text) {
  const auto is_cased = [&](size_t i) { return has(text[i], UCHAR_CASED); };
  const auto is_passed_over = [&](size_t i) { return has(text[i], UCHAR_CASE_IGNORABLE); };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != kSigma && text[i] != kFinalSigma) continue;
    size_t before = i, after = i + 1;
    while (before > 0 && is_passed_over(before - 1)) --before;
    while (after < text.size() && is_passed_over(after)) ++after;
    const bool is_final = before > 0 && is_cased(before - 1) && !(after < text.size() && is_cased(after));
    text[i] = is_final ? kFinalSigma : kSigma;
  }
}

// ---- punctuation

// What stands for each character once punctuation is gone, but for what a word or number holds inside it (UAX 29).
class Punctuation {
 public:
  Punctuation(const std::u32string& text, const std::string& language)
      : text_(text),
        is_polynesian_(language == "haw" || language == "to" || language == "sm" || language == "ty"),
        is_uzbek_(language == "uz" || language == "uzn"),
        has_inner_colon_(language == "sv" || language == "fi") {}

  // U' ' where nothing stands.
  char32_t at(size_t i) const {
    const char32_t c = text_[i];
    if (is_apostrophe(c)) return apostrophe(i);
    if (is_word(c)) return c;
    if (kind_of(c) == CharacterKind::kSpace || i == 0 || i + 1 == text_.size()) return U' ';
    if (kDoubleQuotes.find(c) != std::u32string_view::npos)
      return break_before(i) == U_WB_HEBREW_LETTER && break_of(i + 1) == U_WB_HEBREW_LETTER ? kGershayim : U' ';
    return separator(i);
  }

 private:
  bool is_word_at(size_t i) const { return i < text_.size() && is_word(text_[i]) && !is_apostrophe(text_[i]); }
  // As a neighbour. Apostrophes and separators (Unicode counts an Arabic decimal point among the digits) are decided by
  // themselves: nothing else rests on them.
  int32_t break_of(size_t i) const { return is_word_at(i) ? property(text_[i], UCHAR_WORD_BREAK) : U_WB_OTHER; }

  // Of the letter or digit before i, over its marks.
  int32_t break_before(size_t i) const {
    while (i > 0 && extends(text_[i - 1])) --i;
    return i > 0 ? break_of(i - 1) : U_WB_OTHER;
  }

  char32_t separator(size_t i) const {
    const char32_t c = text_[i];
    const int32_t own = property(c, UCHAR_WORD_BREAK), before = break_before(i), after = break_of(i + 1);
    const auto is_letter_break = [](int32_t value) { return value == U_WB_ALETTER || value == U_WB_HEBREW_LETTER; };
    if (is_letter_break(before) && is_letter_break(after)) {
      if (c == kHyphenationPoint || c == kMiddleDot) return kMiddleDot;
      if (c == U':') return has_inner_colon_ ? c : U' ';
      return own == U_WB_MIDLETTER && c != kGershayim ? c : U' ';
    }
    const bool is_inside_number = own == U_WB_MIDNUM || own == U_WB_MIDNUMLET || own == U_WB_NUMERIC;
    return before == U_WB_NUMERIC && after == U_WB_NUMERIC && is_inside_number ? c : U' ';
  }

  char32_t apostrophe(size_t i) const {
    const char32_t c = text_[i];
    const bool has_before = i > 0 && is_word_at(i - 1), has_after = is_word_at(i + 1);
    if (is_polynesian_ && has_after && is_letter(text_[i + 1])) return kOkina;
    if (is_uzbek_ && has_before && (text_[i - 1] == U'o' || text_[i - 1] == U'g')) return kOkina;
    if (has_before && break_before(i) == U_WB_HEBREW_LETTER) {
      if (break_of(i + 1) == U_WB_HEBREW_LETTER) return kGeresh;
      if (!has_after) return c == kGeresh || !begins_with_quote(i) ? kGeresh : U' ';
    }
    if (has_before && has_after) return U'\'';
    return is_letter(c) && (has_before || has_after) ? c : U' ';
  }

  // Whether the word before i stands behind an opening quotation mark, so that i closes it.
  bool begins_with_quote(size_t i) const {
    while (i > 0 && (is_word(text_[i - 1]) || is_apostrophe(text_[i - 1]))) --i;
    return is_apostrophe(text_[i]);
  }

  const std::u32string& text_;
  bool is_polynesian_, is_uzbek_, has_inner_colon_;
};

std::u32string words(const std::u32string& text, const std::string& language) {
  const Punctuation punctuation(text, language);
  std::u32string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = punctuation.at(i);
    if (c != U' ' || (!result.empty() && result.back() != U' ')) result.push_back(c);
  }
  if (!result.empty() && result.back() == U' ') result.pop_back();
  return result;
}

}  // namespace

std::u32string basic2(const std::u32string& text, const std::string& language) {
  std::u32string plain;
  plain.reserve(text.size());
  for (char32_t c : composed(text)) append_plain(c, plain);
  plain = with_spelling_joiners(composed(plain));
  std::u32string result = words(composed(in_lower_case(plain, language)), language);
  place_sigmas(result);
  return result;
}

}  // namespace rehearse
