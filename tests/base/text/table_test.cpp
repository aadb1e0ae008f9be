#include "trainer/base/text/table.h"

#include <gtest/gtest.h>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

TEST(DisplayWidth, CountsTerminalCellsNotBytes) {
  EXPECT_EQ(display_width(""), 0u);
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("радио"), 5u);
  EXPECT_EQ(display_width("e\xCC\x81"), 1u);  // e and a combining accent
  EXPECT_EQ(display_width("日本"), 4u);
  EXPECT_EQ(display_width("\xff\xc3"), 2u);  // not UTF-8
}

TEST(FitWidth, CutsAtACodePointAndSaysSo) {
  EXPECT_EQ(fit_width("radio", 5), "radio");
  EXPECT_EQ(fit_width("radio", 4), "rad…");
  EXPECT_EQ(fit_width("радио", 3), "ра…");
  EXPECT_EQ(fit_width("日本語", 4), "日…");
  EXPECT_EQ(fit_width("radio", 0), "");
}

TEST(TextTable, AlignsColumnsByDisplayWidth) {
  TextTable table({{"domain", TextTable::kLeft}, {"CER"}});
  table.add_row({"радио", "8.1%"});
  table.add_row({"phone calls", "19.0%"});
  table.add_rule();
  table.add_row({"mean", "13.6%"});
  EXPECT_EQ(table.text(),
            "domain         CER\n"
            "-----------  -----\n"
            "радио         8.1%\n"
            "phone calls  19.0%\n"
            "-----------  -----\n"
            "mean         13.6%\n");
}

TEST(TextTable, WithoutRowsIsItsTitle) {
  EXPECT_EQ(TextTable({{"a"}, {"b"}}).text(), "a  b\n-  -\n");
}

TEST(TextTable, LinesHaveNoTrailingSpaces) {
  TextTable table({{"a", TextTable::kLeft}, {"note", TextTable::kLeft}});
  table.add_row({"x", ""});
  EXPECT_EQ(table.text(), "a  note\n-  ----\nx\n");
}

TEST(TextTable, ARowOfAnotherSizeIsABug) {
  TextTable table({{"a"}, {"b"}});
  EXPECT_THROW(table.add_row({"1"}), BugError);
}

TEST(TextTable, ShowsWhatACorpusSaysWithoutObeyingIt) {
  TextTable table({{"domain", TextTable::kLeft}});
  table.add_row({"a\x1b[31m\nb"});
  EXPECT_NE(table.text().find("a\\x1b[31m\\nb"), std::string::npos);
}

}  // namespace
}  // namespace rehearse
