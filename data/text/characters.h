// What Unicode says about characters (by ICU): the one place that asks.
#pragma once

#include <string>
#include <string_view>

namespace rehearse {

// In composed form (NFC).
std::u32string composed(const std::u32string& text);

// By general category alone: letters, combining marks, numbers and what is not assigned are kWord; spaces and control
// characters kSpace; punctuation and symbols kMark; format characters kInvisible.
enum class CharacterKind { kWord, kSpace, kMark, kInvisible };
CharacterKind kind_of(char32_t c);

char32_t lower_case(char32_t c);  // of one character, without regard to language and neighbours

// The two-letter code of a language where there is one ("tr" for "tr-TR", "TR" and "tur"), else lang without its
// region.
std::string language_code(const std::string& lang);

}  // namespace rehearse
