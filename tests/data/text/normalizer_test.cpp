#include "data/text/normalizer.h"

#include <gtest/gtest.h>

#include "data/text/utf8.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

std::string basic(const std::string& text) {
  return Normalizer("basic/1")(text);
}
std::string raw(const std::string& text) {
  return Normalizer("raw/1")(text);
}

TEST(BasicNormalizer, LowersAndDropsPunctuation) {
  EXPECT_EQ(basic("Printing, in the ONLY sense -- with which?"), "printing in the only sense with which");
  EXPECT_EQ(basic("«ЁЛКА» — да!"), "ёлка да");
  EXPECT_EQ(basic("سلام، خوبی؟"), "سلام خوبی");
  EXPECT_EQ(basic("£5 + 3%"), "5 3");
}

TEST(BasicNormalizer, KeepsApostrophesInsideWordsOnly) {
  EXPECT_EQ(basic("don't 'quote' l’été dogs' ''x''"), "don't quote l'été dogs x");
  EXPECT_EQ(basic("a''b"), "a b");
  EXPECT_EQ(basic("'"), "");
}

TEST(BasicNormalizer, ComposesToNfc) {
  EXPECT_EQ(basic("E\xCC\x81te\xCC\x81"), "été");
  EXPECT_EQ(raw("E\xCC\x81t\xC3\xA9"), "Été");
  // Two marks in the wrong canonical order: dot below (220) goes before circumflex (230).
  EXPECT_EQ(raw("a\xCC\x82\xCC\xA3"), "ậ");
}

TEST(BasicNormalizer, RemovesInvisibleCharacters) {
  EXPECT_EQ(basic("so\xC2\xADuft"), "souft");       // soft hyphen
  EXPECT_EQ(basic("e\xE2\x80\x8D\xCC\x81"), "é");   // a joiner between a letter and its accent
  EXPECT_EQ(basic("می\xE2\x80\x8Cروم"), "می روم");  // zero-width non-joiner separates
}

TEST(RawNormalizer, KeepsCaseAndPunctuation) {
  EXPECT_EQ(raw("  Hello,\t World!\n"), "Hello, World!");
  EXPECT_EQ(raw("a\xC2\xA0\xE3\x80\x80"
                "b"),
            "a b");  // no-break and ideographic space
  EXPECT_EQ(raw(std::string("a\0b", 3)), "a b");
}

TEST(Normalizer, KeepsEmptyAndBlankTextEmpty) {
  for (const char* name : {"basic/1", "basic/2", "raw/1"})
    for (const char* text : {"", " ", "\t \n"}) EXPECT_EQ(Normalizer(name)(text), "") << name;
  EXPECT_EQ(basic("?!…"), "");
}

TEST(Normalizer, RefusesTextThatIsNotUtf8) {
  for (const std::string& text : {std::string("\xFF"), std::string("a\xC3"), std::string("\xC0\x80"),
                                  std::string("\xED\xA0\x80"), std::string("\xF4\x90\x80\x80"), std::string("\x80")})
    for (const char* name : {"basic/1", "basic/2", "raw/1"}) {
      const Normalizer normalize(name);
      EXPECT_THROW(normalize(text), DataError) << name;
    }
  try {
    basic("abc\xFF");
    FAIL() << "must be refused";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(), "text: expected UTF-8; found byte 0xFF at position 3; convert the transcript to UTF-8");
  }
}

TEST(Normalizer, RefusesUnknownNames) {
  EXPECT_THROW(Normalizer("basic/3"), ConfigError);
  EXPECT_EQ(Normalizer("raw/1").name(), "raw/1");
}

TEST(Utf8, EveryCodePointSurvivesARoundTrip) {
  std::u32string all;
  for (char32_t c = 0; c <= 0x10FFFF; ++c)
    if (c < 0xD800 || c > 0xDFFF) all.push_back(c);
  EXPECT_TRUE(code_points(utf8_of(all)) == all);
}

TEST(Normalizer, EverySingleCodePointIsNormalisedOnce) {
  const Normalizer normalize_basic("basic/1"), normalize_raw("raw/1");
  for (char32_t c = 0; c <= 0x1FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const std::string text = "a" + utf8_of({&c, 1}) + "b";
    const std::string once = normalize_basic(text);
    ASSERT_EQ(normalize_basic(once), once) << "code point " << static_cast<uint32_t>(c);
    const std::string once_raw = normalize_raw(text);
    ASSERT_EQ(normalize_raw(once_raw), once_raw) << "code point " << static_cast<uint32_t>(c);
  }
}

}  // namespace
}  // namespace rehearse
