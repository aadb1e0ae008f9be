#include "data/text/annotations.h"

#include <cstddef>
#include <string_view>

namespace rehearse {

namespace {

constexpr std::string_view kOpening = "<[{", kClosing = ">]}";
constexpr size_t kMostBytes = 80;  // between the brackets; more is a sentence

bool is_name_start(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '_' || byte >= 0x80;
}

bool is_annotation(char opening, std::string_view inside) {
  if (inside.empty() || inside.size() > kMostBytes) return false;
  return opening != '<' || (is_name_start(inside.front()) && inside.back() != ' ');
}

}  // namespace

std::string without_annotations(const std::string& text, std::vector<std::string>* found) {
  if (text.find_first_of(kClosing) == std::string::npos) return text;
  std::string result;
  for (const char c : text) {
    const size_t kind = kClosing.find(c);
    // The nearest bracket before it: removed pairs are gone, so that nested ones go from the inside out.
    const size_t opening = kind == std::string_view::npos ? std::string::npos : result.find_last_of("<[{>]}");
    if (opening == std::string::npos || result[opening] != kOpening[kind] ||
        !is_annotation(kOpening[kind], std::string_view(result).substr(opening + 1))) {
      result.push_back(c);
      continue;
    }
    if (found) found->push_back(result.substr(opening) + c);
    result.resize(opening);
    result.push_back(' ');
  }
  return result;
}

}  // namespace rehearse
