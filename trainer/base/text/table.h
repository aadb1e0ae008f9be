// Aligned text tables for the terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rehearse {

// Terminal cells that UTF-8 text takes: 0 for combining marks, 2 for East Asian wide characters and emoji, else 1.
// A byte that is not valid UTF-8 counts 1.
size_t display_width(std::string_view text);

// The longest start of `text` that fits into `width` cells, ending in "…" when something was cut.
std::string fit_width(std::string_view text, size_t width);

class TextTable {
 public:
  enum Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = kRight;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add_row(std::vector<std::string> cells);  // as many as columns
  void add_rule() { rows_.emplace_back(); }      // a line between the rows before and after

  // Title line, rule, rows; two spaces between columns, no trailing spaces, "\n" after each line.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;  // an empty one is a rule
};

}  // namespace rehearse
