#include <gtest/gtest.h>

#include <string>

#include "data/text/normalizer.h"
#include "data/text/scoring.h"
#include "data/text/tokenizer.h"
#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/random.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr uint64_t kSeed = 2024;

std::string random_bytes(const RandomKey& key, size_t most) {
  std::string bytes(key.below(most + 1, 0), '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(key.below(256, i + 1));
  return bytes;
}

// Mostly letters, marks, spaces, quotes and format characters: where normalisation has something to do.
std::string random_text(const RandomKey& key) {
  static const std::u32string kInteresting =
      U"aAéÉ'’ʼ \t\u0301\u0323\u0327\u00AD\u200C\u200D\uFEFF.,-ßẞİıΣσςǅﬁ한글ㄱ\u1112\u1161\u11ABкЁ";
  std::u32string points(key.below(24, 0), U' ');
  for (size_t i = 0; i < points.size(); ++i) {
    char32_t c = kInteresting[key.below(kInteresting.size(), 2 * i + 1)];
    if (key.uniform(2 * i + 2) < 0.2) c = static_cast<char32_t>(key.below(0x110000, 100 + i));
    points[i] = c >= 0xD800 && c <= 0xDFFF ? U'x' : c;
  }
  return utf8_of(points);
}

TEST(NormalizerFuzz, AnyBytesGiveTextOrADataError) {
  SCOPED_TRACE(concat("seed ", kSeed));
  const Normalizer basic("basic/1"), words("basic/2"), raw("raw/1");
  int num_refused = 0;
  for (uint64_t trial = 0; trial < 20000; ++trial) {
    const std::string bytes = random_bytes(RandomKey(kSeed).with(trial), 12);
    try {
      const std::string text = basic(bytes);
      ASSERT_EQ(utf8_of(code_points(text)), text);
      ASSERT_EQ(utf8_of(code_points(raw(bytes))), raw(bytes));
      ASSERT_EQ(words(words(bytes)), words(bytes));
    } catch (const DataError&) {
      ++num_refused;
    }
  }
  EXPECT_GT(num_refused, 10000);
  EXPECT_LT(num_refused, 20000);
}

TEST(NormalizerFuzz, NormalisedTextIsAFixedPoint) {
  SCOPED_TRACE(concat("seed ", kSeed));
  const Normalizer basic("basic/1"), words("basic/2"), raw("raw/1");
  for (uint64_t trial = 0; trial < 20000; ++trial) {
    const std::string text = random_text(RandomKey(kSeed).with("text").with(trial));
    for (const Normalizer* normalize : {&basic, &words, &raw}) {
      const std::string once = (*normalize)(text);
      ASSERT_EQ((*normalize)(once), once) << normalize->name() << ", trial " << trial;
      ASSERT_EQ(once.find("  "), std::string::npos);
      ASSERT_TRUE(once.empty() || (once.front() != ' ' && once.back() != ' '));
    }
    ASSERT_EQ(basic(raw(text)), basic(text)) << "trial " << trial;
  }
}

std::unique_ptr<Tokenizer> parse_vocabulary(const std::string& bytes) {
  Config no_options = Config::parse("{}");
  return Registry<Tokenizer>::instance().create("char", no_options.root(), {bytes, "fuzz.txt"});
}

TEST(VocabularyFuzz, DamagedFilesLoadOrAreRefused) {
  SCOPED_TRACE(concat("seed ", kSeed));
  const std::string good = "rehearse-characters 1\n<space>\na\nb\né\n한\n😀\n";
  int num_loaded = 0, num_refused = 0;
  for (uint64_t trial = 0; trial < 20000; ++trial) {
    const RandomKey key = RandomKey(kSeed).with("vocabulary").with(trial);
    std::string bytes = good;
    for (uint64_t damage = 0; damage <= key.below(3, 0); ++damage) {
      const size_t at = key.below(bytes.size() + 1, 10 + damage);
      switch (key.below(4, 20 + damage)) {
        case 0:
          bytes.resize(at);
          break;
        case 1:
          bytes.insert(at, random_bytes(key.with(damage), 4));
          break;
        case 2:
          bytes.erase(at, key.below(4, 30 + damage));
          break;
        default:
          if (at < bytes.size()) bytes[at] = static_cast<char>(key.below(256, 40 + damage));
      }
    }
    try {
      const auto tokenizer = parse_vocabulary(bytes);
      ++num_loaded;
      ASSERT_GT(tokenizer->size(), 0);
      const auto again = parse_vocabulary(tokenizer->serialized());
      ASSERT_EQ(again->serialized(), tokenizer->serialized());
      ASSERT_EQ(again->size(), tokenizer->size());
    } catch (const DataError&) {
      ++num_refused;
    }
  }
  EXPECT_GT(num_loaded, 500);
  EXPECT_GT(num_refused, 500);
}

TEST(ScoringFuzz, EditsStayWithinTheirBounds) {
  SCOPED_TRACE(concat("seed ", kSeed));
  for (uint64_t trial = 0; trial < 5000; ++trial) {
    const RandomKey key = RandomKey(kSeed).with("scoring").with(trial);
    const std::string a = random_text(key.with(0)), b = random_text(key.with(1));
    const auto length_a = static_cast<int64_t>(code_points(a).size()),
               length_b = static_cast<int64_t>(code_points(b).size());
    const EditCounts counts = character_edits(a, b);
    ASSERT_EQ(counts.reference_length, length_a);
    ASSERT_GE(counts.edits(), std::abs(length_a - length_b));
    ASSERT_LE(counts.edits(), std::max(length_a, length_b));
    ASSERT_EQ(counts.edits() == 0, a == b);
  }
}

}  // namespace
}  // namespace rehearse
