// Lists of known words in messages: which ones there are, and which one was probably meant.
#pragma once

#include <string>
#include <vector>

namespace rehearse {

std::string joined(const std::vector<std::string>& words);  // "a, b, c"

// The candidate with the smallest edit distance to word; empty when none is near enough to be a slip of the fingers.
std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates);

// "; did you mean "x"?" for the nearest candidate; empty when none is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates);

// ConfigError "where: expected one of a, b; found "x"" unless found is allowed.
void expect_one_of(const std::string& where, const std::string& found, const std::vector<std::string>& allowed);

}  // namespace rehearse
