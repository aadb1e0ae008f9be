// The normaliser "basic/2": words as Unicode delimits them, in lower case as their language has it.
#pragma once

#include <string>

namespace rehearse {

// text: valid code points. language: language_code() of the manifest's `lang`. What becomes of which character is
// said in data/TEXT.md. Idempotent for one language.
std::u32string basic2(const std::u32string& text, const std::string& language);

}  // namespace rehearse
