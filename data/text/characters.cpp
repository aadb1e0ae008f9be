#include "data/text/characters.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uloc.h>

#include <algorithm>

#include "data/text/utf8.h"
#include "trainer/base/error.h"

namespace rehearse {

namespace {

constexpr char32_t kFirstThatComposes = 0x300;  // below it nothing combines

const icu::Normalizer2& nfc() {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(status);
  REHEARSE_CHECK(U_SUCCESS(status), "ICU carries its data: ", u_errorName(status));
  return *form;
}

}  // namespace

std::u32string composed(const std::u32string& text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < kFirstThatComposes; })) return text;
  const std::string bytes = utf8_of(text);
  UErrorCode status = U_ZERO_ERROR;
  if (nfc().isNormalizedUTF8(bytes, status) && U_SUCCESS(status)) return text;
  std::string result;
  icu::StringByteSink<std::string> sink(&result);
  nfc().normalizeUTF8(0, bytes, sink, nullptr, status);
  REHEARSE_CHECK(U_SUCCESS(status), "valid UTF-8 always composes: ", u_errorName(status));
  return code_points(result);
}

CharacterKind kind_of(char32_t c) {
  const uint32_t category = U_GET_GC_MASK(static_cast<UChar32>(c));
  if (category & (U_GC_Z_MASK | U_GC_CC_MASK)) return CharacterKind::kSpace;
  if (category & (U_GC_P_MASK | U_GC_S_MASK)) return CharacterKind::kMark;
  return category & U_GC_CF_MASK ? CharacterKind::kInvisible : CharacterKind::kWord;
}

char32_t lower_case(char32_t c) {
  return static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
}

std::string language_code(const std::string& lang) {
  if (lang.empty()) return "";
  char code[ULOC_LANG_CAPACITY] = {};
  UErrorCode status = U_ZERO_ERROR;
  const int32_t length = uloc_getLanguage(lang.c_str(), code, sizeof code, &status);
  return U_FAILURE(status) || length >= ULOC_LANG_CAPACITY ? "" : std::string(code);
}

}  // namespace rehearse
