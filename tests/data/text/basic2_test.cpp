// Hidden characters are written as \u…: ZWSP 200B, ZWNJ 200C, ZWJ 200D.
#include <gtest/gtest.h>
#include <unicode/brkiter.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <thread>

#include "data/speech/manifest.h"
#include "data/text/annotations.h"
#include "data/text/normalizer.h"
#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

std::string basic(const std::string& text, const std::string& lang = "") {
  return Normalizer("basic/2")(text, lang);
}

TEST(Basic2, LowersAndDropsPunctuationAndSymbols) {
  EXPECT_EQ(basic("Printing, in the ONLY sense -- with which?"), "printing in the only sense with which");
  EXPECT_EQ(basic("«ЁЛКА» — да!"), "ёлка да");
  EXPECT_EQ(basic("well-known end.Next e.g. a_b A/B"), "well known end next e g a b a b");
  EXPECT_EQ(basic("£5 + 3% 😀👨\u200D👩 ☕\uFE0F 1\uFE0F\u20E3"), "5 3 1");
}

TEST(Basic2, HasOneApostropheInsideWords) {
  for (const char* sign : {"'", "\u2019", "\u2018", "\u201B", "\u02BC", "\u02BB", "\u02BD", "\uFF07", "\u00B4", "`",
                           "\u2032", "\uFF40", "\u2035"})
    EXPECT_EQ(basic("З" + std::string(sign) + "ява don" + sign + "t", "uk"), "з'ява don't") << sign;
  EXPECT_EQ(basic("‘Tis the dogs’ 'quote' ''x'' a''b rock ’n’ roll 1980's"),
            "tis the dogs quote x a b rock n roll 1980's");
  EXPECT_EQ(basic("հայ՚երեն Ինչո՞ւ, ի՜նչ։", "hy"), "հայ'երեն ինչու ինչ");
}

TEST(Basic2, KeepsApostrophesThatAreLettersOfTheAlphabet) {
  for (const char* sign : {"\u02BB", "'", "\u2018", "\u2019"}) {
    EXPECT_EQ(basic(std::string(sign) + "Ōlelo Hawai" + sign + "i", "haw"), "\u02BBōlelo hawai\u02BBi") << sign;
    EXPECT_EQ(basic("O" + std::string(sign) + "zbek tog" + sign, "uz-Latn"), "o\u02BBzbek tog\u02BB") << sign;
    EXPECT_EQ(basic("Ma" + std::string(sign) + "no", "uzb"), "ma'no") << sign;
  }
  EXPECT_EQ(basic("\u02BCA b\u02BC \u02BC"), "\u02BCa b\u02BC");  // modifier letters at the edge of a word stay letters
  EXPECT_EQ(basic("S\uA78Ca \u02BEalif"), "s\uA78Ca \u02BEalif");  // saltillo, hamza of transliterations
}

TEST(Basic2, KeepsWhatStandsInsideWords) {
  for (const char* dot : {"\u00B7", "\u2027"})
    EXPECT_EQ(basic("COL" + std::string(dot) + "LEGI · fi·", "ca"), "col·legi fi");
  EXPECT_EQ(basic("co\u0140legi", "ca"), "col·legi");
  for (const char* sign : {"\"", "\u05F4", "\u201D"}) EXPECT_EQ(basic("צה" + std::string(sign) + "ל", "he"), "צה״ל");
  for (const char* sign : {"'", "\u05F3", "\u2019"})
    EXPECT_EQ(basic("ג" + std::string(sign) + "ירפה וכו" + sign, "he"), "ג׳ירפה וכו׳");
  EXPECT_EQ(basic("\"שלום\" 'שלום' אמר: שלום"), "שלום שלום אמר שלום");
  EXPECT_EQ(basic("EU:n päätös: ei", "fi"), "eu:n päätös ei");
  EXPECT_EQ(basic("note:this", "en"), "note this");
}

TEST(Basic2, KeepsSeparatorsInsideNumbers) {
  EXPECT_EQ(basic("3.14, 1,000. 1'000 1’000; 10-20"), "3.14 1,000 1'000 1'000 10 20");
  EXPECT_EQ(basic("۳٫۱۴ ٫ ١٬٠٠٠"), "۳٫۱۴ ١٬٠٠٠");
  EXPECT_EQ(basic(".5 5. 1..2 v2.0 ½ 2²"), "5 5 1 2 v2.0 ½ 2²");
}

TEST(Basic2, LowersAsTheLanguageDoes) {
  for (const char* lang : {"tr", "TR", "tr-TR", "tr_TR", "tur", "az", "aze", "az-Latn-AZ"})
    EXPECT_EQ(basic("IŞIK İSTANBUL I\u0307zmir ışık", lang), "ışık istanbul izmir ışık") << lang;
  for (const char* lang : {"", "en", "trv", "de-DE", "ka"})
    EXPECT_EQ(basic("IŞIK İ I\u0307 i\u0307", lang), "işik i i i");
  for (const char* lang : {"lt", "lit", "lt-LT", ""})
    EXPECT_EQ(basic("Į\u0301 į\u0307\u0301 Ì i\u0307\u0300 J\u0303", lang), "į\u0301 į\u0301 ì ì j\u0303") << lang;
  EXPECT_EQ(basic("STRAẞE Straße", "de"), "straße straße");
  EXPECT_EQ(basic("IJSLAND Ĳsland", "nl"), "ijsland ijsland");
  EXPECT_EQ(basic("ǅ Ǆ ǆ", "hr"), "dž dž dž");
}

TEST(Basic2, PlacesTheFinalSigma) {
  for (const char* lang : {"el", "ell", "el-GR", ""}) {
    EXPECT_EQ(basic("ΟΔΟΣ, οδοσ οδος ΣΑΣ ςας", lang), "οδος οδος οδος σας σας");
    EXPECT_EQ(basic("Σ σ' αγαπώ ΣΟΦΌΣ·", lang), "σ σ αγαπώ σοφός");
  }
}

TEST(Basic2, KeepsJoinersThatSpell) {
  EXPECT_EQ(basic("താഴ്\u200Cവര", "ml"), "താഴ്\u200Cവര");
  EXPECT_EQ(basic("ශ්\u200Dරී", "si"), "ශ්\u200Dරී");
  EXPECT_EQ(basic("र्\u200Dय क्\u200Cष", "mr"), "र्\u200Dय क्\u200Cष");
  EXPECT_EQ(basic("র\u200D্যাব", "bn"), "র\u200D্যাব");
  EXPECT_EQ(basic("അവന്\u200D.", "ml"), "അവന്\u200D");
  EXPECT_EQ(basic("می\u200Cروم خانه\u200Cها کار\u200Cها", "fa"), "می\u200Cروم خانه\u200Cها کار\u200Cها");
}

TEST(Basic2, RemovesWhatDoesNotSpell) {
  EXPECT_EQ(basic("Auf\u200Clage so\u00ADuft e\u200D\u0301 \u2060a\uFEFFb c\u034Fd f\uFE0Fg"),
            "auflage souft é ab cd fg");
  EXPECT_EQ(basic("\u202Babc\u202C \u200Ex\u200F \u2067y\u2069 \u061Cz"), "abc x y z");
  EXPECT_EQ(basic("می\u200C \u200Cروم", "fa"), "می روم");  // at the edge of a word it parts nothing
  EXPECT_EQ(basic("می\u200C\u200C\u200Bروم", "fa"), "می روم");
  EXPECT_EQ(basic("А\u0489Б a\u20DD"), "аб a");           // enclosing marks
  EXPECT_EQ(basic("مـــحمد", "ar"), "محمد");              // tatweel
  EXPECT_EQ(basic("ភាសា\u200Bខ្មែរ", "km"), "ភាសា ខ្មែរ");  // the zero-width space parts words
}

TEST(Basic2, HasOneShapeOfEachLetter) {
  EXPECT_EQ(basic("ﬁn ﬃ ＡＢＣ１２３ 𝐇𝐢 ſtadt"), "fin ffi abc123 hi stadt");
  EXPECT_EQ(basic("\uFEE3\uFEA4\uFEE4\uFEAA \uFEFB", "ar"), "محمد لا");
  EXPECT_EQ(basic("ｶﾞｷﾞ ﾃｽﾄ、テスト。", "ja"), "ガギ テスト テスト");
  EXPECT_EQ(basic("\u2F00 \uF900", "zh"), "一 豈");
  EXPECT_EQ(basic("E\u0301te\u0301"), "été");
  // What is another letter stays another letter.
  EXPECT_EQ(basic("ي ی ك ک ى 2² µ ㄱ ª"), "ي ی ك ک ى 2² µ ㄱ ª");
  EXPECT_EQ(basic("น้ำ ຳ", "th"), "น้ำ ຳ");
}

TEST(Basic2, PutsNoSpacesBetweenWordsOfScriptsWithoutThem) {
  EXPECT_EQ(basic("สวัสดีครับ ทุกๆ คน", "th"), "สวัสดีครับ ทุกๆ คน");
  EXPECT_EQ(basic("今日は、良い天気ですね。コーヒー", "ja"), "今日は 良い天気ですね コーヒー");
  EXPECT_EQ(basic("ខ្ញុំស្រឡាញ់អ្នក", "km"), "ខ្ញុំស្រឡាញ់អ្នក");
  EXPECT_EQ(basic("हिन्दी में। है", "hi"), "हिन्दी में है");
}

TEST(Basic2, TreatsLineEndsAndOddSpacesAsSpaces) {
  EXPECT_EQ(basic("\uFEFFone\r\ntwo\tthree\u00A0four\u3000five\u2028six\u202Fseven\x1B"),
            "one two three four five six seven");
  EXPECT_EQ(basic("\u200B \uFEFF"), "");
}

TEST(Basic2, DropsOrKeepsAnnotations) {
  const Normalizer keep("basic/2", Normalizer::Annotations::kKeep);
  EXPECT_EQ(basic("AS THEY SAY <COMMA> HELLO <PERIOD>"), "as they say hello");
  EXPECT_EQ(basic("[laughter] well {breath}<b>x</b> [noise [loud]]"), "well x");
  EXPECT_EQ(basic("<NOISE>"), "");
  EXPECT_EQ(keep("[laughter] well <NOISE>"), "laughter well noise");
  EXPECT_EQ(basic("I <3 you, 2 < 5 > 3 (quietly) [unclosed"), "i 3 you 2 5 3 quietly unclosed");
  EXPECT_EQ(Normalizer("basic/1")("<NOISE> a"), "noise a");
  std::vector<std::string> found;
  without_annotations("a <noise> [b] (c)", &found);
  EXPECT_EQ(found, (std::vector<std::string>{"<noise>", "[b]"}));
}

TEST(Basic2, IsTheDefault) {
  Config config = Config::parse("{}");
  EXPECT_EQ(Normalizer::from(config.root()).name(), "basic/2");
}

const char* const kLanguages[] = {"", "tr", "el", "he", "haw", "uz", "sv", "fa", "hi"};

TEST(Basic2, EverySingleCodePointIsNormalisedOnce) {
  const Normalizer normalize("basic/2");
  for (char32_t c = 0; c <= 0x1FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const std::string once = normalize("a" + utf8_of({&c, 1}) + "b" + utf8_of({&c, 1}));
    ASSERT_EQ(normalize(once), once) << "code point " << static_cast<uint32_t>(c);
  }
}

TEST(Basic2, IsIdempotentOnRandomTextInEveryLanguage) {
  const uint64_t seed = 77;
  SCOPED_TRACE(concat("seed ", seed));
  const std::u32string interesting =
      U"aIiİıoOgGlßẞΣσς "
      U"''’ʻʼ\"״׳·:.,-_19٣٫\u0301\u0307\u0323\u0327\u200B\u200C\u200D\u00AD\u034F\uFEFFאבगक्ി്ക്کهمرﻻﬁﾞｶﾃ각ㄱᆧ՞զ";
  const Normalizer normalize("basic/2");
  for (uint64_t trial = 0; trial < 60000; ++trial) {
    const RandomKey key = RandomKey(seed).with(trial);
    std::u32string text(key.below(14, 0), U' ');
    for (size_t i = 0; i < text.size(); ++i) {
      text[i] = interesting[key.below(interesting.size(), 2 * i + 1)];
      if (key.uniform(2 * i + 2) < 0.1) text[i] = static_cast<char32_t>(key.below(0xD800, 1000 + i));
    }
    const std::string lang = kLanguages[trial % std::size(kLanguages)];
    const std::string once = normalize(utf8_of(text), lang);
    ASSERT_EQ(normalize(once, lang), once) << "trial " << trial << ", " << lang << ", " << utf8_of(text);
    ASSERT_EQ(once.find("  "), std::string::npos);
    ASSERT_TRUE(once.empty() || (once.front() != ' ' && once.back() != ' '));
  }
}

// By another way than ours: ICU's case mapping of whole strings, and letters, marks and digits of what comes out.
std::u32string letters_of(const std::string& text, const std::string& lang) {
  UErrorCode status = U_ZERO_ERROR;  // a letter and its accent, however they were typed
  icu::UnicodeString lower =
      icu::Normalizer2::getNFCInstance(status)->normalize(icu::UnicodeString::fromUTF8(text), status);
  lower.toLower(icu::Locale(lang.c_str()));
  std::string bytes;
  lower.toUTF8String(bytes);
  std::u32string letters;
  for (char32_t c : code_points(bytes))
    if (U_GET_GC_MASK(static_cast<UChar32>(c)) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) letters.push_back(c);
  return letters;
}

// The one departure from Unicode's words: a full stop between letters parts them.
std::string without_inner_full_stops(const std::string& text) {
  std::u32string points = code_points(text);
  const auto is_letter = [](char32_t c) { return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_L_MASK) != 0; };
  for (size_t i = 1; i + 1 < points.size(); ++i)
    if (points[i] == U'.' && is_letter(points[i - 1]) && is_letter(points[i + 1])) points[i] = U' ';
  return utf8_of(points);
}

// ICU's words: what its break iterator puts between two boundaries, where that holds a letter or digit.
std::vector<std::string> words_of(const std::string& text, const std::string& lang) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::BreakIterator> words(
      icu::BreakIterator::createWordInstance(icu::Locale(lang.c_str()), status));
  const icu::UnicodeString whole = icu::Normalizer2::getNFCInstance(status)
                                       ->normalize(icu::UnicodeString::fromUTF8(text), status)
                                       .toLower(icu::Locale(lang.c_str()));
  words->setText(whole);
  std::vector<std::string> result;
  for (int32_t from = words->first(), to = words->next(); to != icu::BreakIterator::DONE;
       from = to, to = words->next()) {
    if (words->getRuleStatus() < UBRK_WORD_NUMBER) continue;
    whole.tempSubStringBetween(from, to).findAndReplace(u"’", u"'").toUTF8String(result.emplace_back());
  }
  return result;
}

std::vector<Utterance> real_speech() {
  std::vector<Utterance> all;
  const char* folder = std::getenv("REHEARSE_TEST_DATA");
  if (folder == nullptr) return all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.path().filename() == "train.jsonl" || entry.path().filename() == "valid.jsonl")
      for (Utterance& one : read_manifest(entry.path().string())) all.push_back(std::move(one));
  return all;
}

TEST(Basic2, LosesNoLetterOfRealTranscriptsAndFindsUnicodesWords) {
  const std::vector<Utterance> all = real_speech();
  if (all.empty()) GTEST_SKIP() << "REHEARSE_TEST_DATA is not set: no real transcripts here";
  const Normalizer normalize("basic/2");
  size_t num_with_words = 0;
  for (const Utterance& one : all) {
    const std::string text = normalize(one.text, one.lang);
    ASSERT_EQ(normalize(text, one.lang), text) << one.text;
    ASSERT_TRUE(letters_of(text, one.lang) == letters_of(one.text, one.lang)) << one.text << " became " << text;
    std::vector<std::string> words;
    for (size_t start = 0; start < text.size();
         start = text.find_first_not_of(' ', std::min(text.find(' ', start), text.size())))
      words.push_back(text.substr(start, text.find(' ', start) - start));
    ASSERT_EQ(words, words_of(without_inner_full_stops(one.text), one.lang)) << one.text;
    num_with_words += words.size() > 1;
  }
  EXPECT_GT(num_with_words, 500u);
}

TEST(Basic2, GivesTheSameOnEveryThread) {
  const Normalizer normalize("basic/2");
  const std::string text = "IŞIK ΟΔΟΣ می\u200Cروم ﬁn co\u0140legi don’t 3.14 स्\u200Dव";
  const std::string expected = normalize(text, "tr");
  std::vector<int> differences(4);
  {
    std::vector<std::jthread> threads;
    for (int& count : differences)
      threads.emplace_back([&] {
        for (int i = 0; i < 2000; ++i) count += normalize(text, "tr") == expected ? 0 : 1;
      });
  }
  EXPECT_EQ(differences, std::vector<int>(4));
}

// The bytes that the library of its day gave, for every code point of its version of Unicode in two surroundings.
TEST(Basic1, GivesWhatItGaveOldCheckpoints) {
  for (const auto& [name, expected] :
       {std::pair{"basic/1", "62fb026a13efe73adc6e7d6d4401fb39d43014c0aeaf1a4c10272a785129a3cf"},
        std::pair{"raw/1", "e2fa1669c6cb80a0a6377a5aa8396d59f1a41d321d306607459565d86f1a3c8c"}}) {
    const Normalizer normalize(name);
    std::string all;
    for (char32_t c = 0; c <= 0x10FFFF; ++c) {
      UVersionInfo age;
      u_charAge(static_cast<UChar32>(c), age);
      if ((c >= 0xD800 && c <= 0xDFFF) || age[0] == 0 || age[0] > 15 || (age[0] == 15 && age[1] > 0)) continue;
      const std::string one = utf8_of({&c, 1});
      all += normalize("A" + one + "b") + "\n" + normalize("가\u11A7" + one + "\u0301'x") + "\n";
    }
    EXPECT_EQ(sha256_of(std::as_bytes(std::span(all))), expected) << name;
  }
}

}  // namespace
}  // namespace rehearse
