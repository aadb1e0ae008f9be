#include "trainer/base/text/table.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

struct CodePoint {
  char32_t value = 0;
  size_t bytes = 1;
};

// Lenient: a broken sequence is one code point of one byte.
CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (bytes == 1 || bytes > text.size()) return {lead, 1};
  char32_t value = lead & (0xFF >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {lead, 1};
    value = value << 6 | (byte(i) & 0x3F);
  }
  return {value, bytes};
}

struct CodeRange {
  char32_t first, last;
};
constexpr std::array<CodeRange, 9> kZeroWidth = {{{0x0300, 0x036F},
                                                  {0x0483, 0x0489},
                                                  {0x0591, 0x05BD},
                                                  {0x064B, 0x065F},
                                                  {0x1AB0, 0x1AFF},
                                                  {0x200B, 0x200F},
                                                  {0x20D0, 0x20FF},
                                                  {0xFE00, 0xFE0F},
                                                  {0xFE20, 0xFE2F}}};
constexpr std::array<CodeRange, 9> kWide = {{{0x1100, 0x115F},
                                             {0x2E80, 0x303E},
                                             {0x3041, 0xA4CF},
                                             {0xAC00, 0xD7A3},
                                             {0xF900, 0xFAFF},
                                             {0xFE30, 0xFE6F},
                                             {0xFF00, 0xFF60},
                                             {0x1F300, 0x1FAFF},
                                             {0x20000, 0x3FFFD}}};

template <size_t N>
bool is_in(const std::array<CodeRange, N>& ranges, char32_t value) {
  return std::ranges::any_of(ranges, [value](CodeRange range) { return value >= range.first && value <= range.last; });
}

size_t cells(char32_t value) {
  return is_in(kZeroWidth, value) ? 0 : is_in(kWide, value) ? 2 : 1;
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    width += cells(point.value);
    text.remove_prefix(point.bytes);
  }
  return width;
}

std::string fit_width(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return "";
  size_t used = 0, bytes = 0;
  while (bytes < text.size()) {
    const CodePoint point = first_code_point(text.substr(bytes));
    if (used + cells(point.value) > width - 1) break;
    used += cells(point.value);
    bytes += point.bytes;
  }
  return std::string(text.substr(0, bytes)) + "…";
}

void TextTable::add_row(std::vector<std::string> cells) {
  REHEARSE_CHECK(!cells.empty() && cells.size() == columns_.size(), "a row has a cell for each of ", columns_.size(),
                 " columns; found ", cells.size());
  for (std::string& cell : cells) cell = printable(cell);  // domains and paths are what some corpus says
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  std::vector<size_t> widths;
  for (const Column& column : columns_) widths.push_back(display_width(column.title));
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));

  std::string out;
  const auto end_line = [&out] {
    out.erase(out.find_last_not_of(' ') + 1);
    out.push_back('\n');
  };
  const auto put = [&](size_t i, const std::string& cell) {
    if (i > 0) out += "  ";
    const std::string pad(widths[i] - display_width(cell), ' ');
    out += columns_[i].align == kLeft ? cell + pad : pad + cell;
  };
  const auto put_rule = [&] {
    for (size_t i = 0; i < widths.size(); ++i) put(i, std::string(widths[i], '-'));
    end_line();
  };
  for (size_t i = 0; i < columns_.size(); ++i) put(i, columns_[i].title);
  end_line();
  put_rule();
  for (const auto& row : rows_) {
    if (row.empty()) {
      put_rule();
      continue;
    }
    for (size_t i = 0; i < row.size(); ++i) put(i, row[i]);
    end_line();
  }
  return out;
}

}  // namespace rehearse
