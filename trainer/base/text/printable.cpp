#include "trainer/base/text/printable.h"

#include <cstdint>
#include <cstdio>

namespace rehearse {
namespace {

// Bytes of the character that begins at text[at]; 0 when there is none of UTF-8's shortest forms.
size_t character_bytes(std::string_view text, size_t at, uint32_t& value) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t lead = byte(at);
  const size_t size = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : 4;
  if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || at + size > text.size()) return 0;
  value = size == 1 ? lead : lead & (0xFF >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
    value = (value << 6) | (byte(at + i) & 0x3F);
  }
  const bool is_overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  return is_overlong || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF) ? 0 : size;
}

// Controls of the terminal, of lines and of the direction of writing.
bool is_control(uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
         (c >= 0xE0000 && c <= 0xE007F);
}

void append_escape(std::string& out, uint32_t c) {
  char escape[16];
  if (c == '\n' || c == '\r' || c == '\t')
    std::snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
  else
    std::snprintf(escape, sizeof escape, c < 0x80 ? "\\x%02x" : "\\u{%x}", c);
  out += escape;
}

std::string escaped(std::string_view text, bool keep_lines) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    uint32_t c = 0;
    const size_t size = character_bytes(text, at, c);
    if (size == 0) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[at++])));
      out += escape;
      continue;
    }
    if (is_control(c) && !(keep_lines && (c == '\n' || c == '\t')))
      append_escape(out, c);
    else
      out += text.substr(at, size);
    at += size;
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) {
  return escaped(text, false);
}

std::string printable_lines(std::string_view text) {
  return escaped(text, true);
}

std::string quoted(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return '"' + printable(text) + '"';
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return '"' + printable(text.substr(0, end)) + "…\"";
}

}  // namespace rehearse
