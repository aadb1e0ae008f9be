// Foreign text - paths, transcripts, what a file or a library says - made fit for a terminal and a log.
#pragma once

#include <string>
#include <string_view>

namespace rehearse {

// Nothing in it can move a cursor, change a colour or the direction of writing, or begin a line: control characters
// become "\n", "\x1b", "\u{202e}", bytes that are not UTF-8 "\xff". Letters of all scripts stay.
std::string printable(std::string_view text);

// The same for whole messages of ours: line breaks and tabs stay.
std::string printable_lines(std::string_view text);

// In quotation marks, cut after about max_bytes (between characters): "seven eig…".
std::string quoted(std::string_view text, size_t max_bytes = 120);
// Exact matches: for a std::string, std::quoted would be found first, which escapes no control characters.
inline std::string quoted(const char* text, size_t max_bytes = 120) {
  return quoted(std::string_view(text), max_bytes);
}
inline std::string quoted(const std::string& text, size_t max_bytes = 120) {
  return quoted(std::string_view(text), max_bytes);
}
inline std::string quoted(std::string& text, size_t max_bytes = 120) {
  return quoted(std::string_view(text), max_bytes);
}

}  // namespace rehearse
