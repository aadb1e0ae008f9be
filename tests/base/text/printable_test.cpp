#include "trainer/base/text/printable.h"

#include <gmock/gmock.h>

#include <iomanip>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::StartsWith;

TEST(Printable, LettersOfAllScriptsStay) {
  const std::string text = "þetta är Straße, Привет, سلام می‌خواهم, शब्द, 日本語 🎤";
  EXPECT_EQ(printable(text), text);
  EXPECT_EQ(printable_lines(text), text);
}

TEST(Printable, NothingReachesTheTerminalThatMovesItsCursor) {
  EXPECT_EQ(printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(printable("a\rb\nc\td"), "a\\rb\\nc\\td");
  EXPECT_EQ(printable("bell\x07 del\x7f"), "bell\\x07 del\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\u{9b}31m");
}

TEST(Printable, DirectionOfWritingAndLineSeparatorsAreShown) {
  EXPECT_EQ(printable("gpj.\u202Eexe"), "gpj.\\u{202e}exe");
  EXPECT_EQ(printable("a\u2028b\u2066c\uFEFFd"), "a\\u{2028}b\\u{2066}c\\u{feff}d");
}

TEST(Printable, BytesOutsideUtf8AreShownOneByOne) {
  EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(printable("a\xc3"), "a\\xc3");                  // cut off
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
}

TEST(Printable, MessagesOfOursKeepTheirLines) {
  EXPECT_EQ(printable_lines("a\n\tb\x1b"), "a\n\tb\\x1b");
}

TEST(Printable, QuotesAreCutBetweenCharacters) {
  EXPECT_EQ(quoted("seven"), "\"seven\"");
  EXPECT_EQ(quoted("ßßß", 3), "\"ß…\"");
  EXPECT_THAT(rehearse::quoted(std::string(10000, 'x')), StartsWith("\"xxx"));
  EXPECT_LT(rehearse::quoted(std::string(10000, 'x')).size(), 130u);
}

TEST(Printable, QuotedIsOursForEveryKindOfText) {
  std::string text = "a\x1b";
  const std::string constant = text;
  EXPECT_EQ(concat(quoted(text), quoted(constant), quoted(std::string(text)), quoted(std::string_view(text))),
            R"("a\x1b""a\x1b""a\x1b""a\x1b")");
}

}  // namespace
}  // namespace rehearse
