// Strict UTF-8: what every text part agrees a character is.
#pragma once

#include <string>
#include <string_view>

namespace rehearse {

// Unicode code points of text. Overlong forms, surrogates and values above U+10FFFF are a DataError naming the byte.
std::u32string code_points(std::string_view text);

// Appends one code point (REQUIRES: a valid one, as code_points returns).
void append_utf8(std::string& text, char32_t code_point);
std::string utf8_of(std::u32string_view code_points);

}  // namespace rehearse
