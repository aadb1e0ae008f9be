#include "data/text/utf8.h"

#include <cstdint>
#include <cstdio>

#include "trainer/base/error.h"

namespace rehearse {

namespace {

[[noreturn]] void fail_at(std::string_view text, size_t position) {
  char byte[8];
  std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned>(static_cast<unsigned char>(text[position])));
  throw DataError("text: expected UTF-8; found byte ", byte, " at position ", position,
                  "; convert the transcript to UTF-8");
}

// Bytes that follow a lead byte, and the smallest value that may be written with that many.
struct Form {
  int num_following;
  char32_t payload;
  char32_t smallest;
};

bool read_lead(unsigned char lead, Form& form) {
  if (lead < 0x80)
    form = {0, lead, 0};
  else if ((lead & 0xE0) == 0xC0)
    form = {1, char32_t(lead & 0x1F), 0x80};
  else if ((lead & 0xF0) == 0xE0)
    form = {2, char32_t(lead & 0x0F), 0x800};
  else if ((lead & 0xF8) == 0xF0)
    form = {3, char32_t(lead & 0x07), 0x10000};
  else
    return false;
  return true;
}

}  // namespace

std::u32string code_points(std::string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    Form form{};
    if (!read_lead(static_cast<unsigned char>(text[i++]), form)) fail_at(text, start);
    char32_t value = form.payload;
    for (int k = 0; k < form.num_following; ++k, ++i) {
      if (i == text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) fail_at(text, start);
      value = (value << 6) | (static_cast<unsigned char>(text[i]) & 0x3F);
    }
    const bool is_surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (value < form.smallest || value > 0x10FFFF || is_surrogate) fail_at(text, start);
    result.push_back(value);
  }
  return result;
}

void append_utf8(std::string& text, char32_t c) {
  if (c < 0x80) {
    text.push_back(static_cast<char>(c));
    return;
  }
  const int num_following = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr uint8_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  text.push_back(static_cast<char>(kLead[num_following] | (c >> (6 * num_following))));
  for (int k = num_following - 1; k >= 0; --k) text.push_back(static_cast<char>(0x80 | ((c >> (6 * k)) & 0x3F)));
}

std::string utf8_of(std::u32string_view code_points) {
  std::string text;
  text.reserve(code_points.size());
  for (char32_t c : code_points) append_utf8(text, c);
  return text;
}

}  // namespace rehearse
