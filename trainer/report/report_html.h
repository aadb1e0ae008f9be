// The page around a report: style sheet, escaping and the few elements that its parts share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rehearse {

// Safe inside text and quoted attributes. Control characters and bytes that are not UTF-8 become U+FFFD.
std::string escape_html(std::string_view text);

// A whole document; `body` is HTML, `title` is text.
std::string html_page(const std::string& title, const std::string& body);

// CSS class of the i-th series colour; they repeat after kNumColors.
constexpr size_t kNumColors = 8;
std::string series_color(size_t index);

struct LegendItem {
  std::string color;  // CSS class
  std::string name;   // text
  bool is_dashed = false;
};
std::string html_legend(const std::vector<LegendItem>& items);

// A titled box; `title` and `hint` are text, `content` is HTML.
std::string html_card(const std::string& title, const std::string& hint, const std::string& content);

// The picture in the page itself; `caption` is text.
std::string html_picture(const std::string& png, const std::string& caption);

// Cells are HTML. The first column is left-aligned, the others right.
std::string html_table(const std::vector<std::string>& titles, const std::vector<std::vector<std::string>>& rows);

}  // namespace rehearse
