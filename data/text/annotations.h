// What a transcript says about a recording instead of what is spoken: <NOISE>, [laughter], {breath}.
#pragma once

#include <string>
#include <vector>

namespace rehearse {

// The text with a space in place of each annotation: a short run in one kind of brackets, <…>, […] or {…}, that holds
// none of these brackets itself; <…> only around what begins like a name or a closing tag ("3 < 5 > 2" is none). What
// stands in round brackets is usually spoken and stays. Annotations are added to `found`, when given, with brackets.
std::string without_annotations(const std::string& text, std::vector<std::string>* found = nullptr);

}  // namespace rehearse
