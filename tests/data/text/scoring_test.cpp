#include "data/text/scoring.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

rlim_t mapped_bytes() {
  std::ifstream sizes("/proc/self/statm");
  rlim_t pages = 0;
  sizes >> pages;
  return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

void expect_counts(const EditCounts& counts, int substitutions, int deletions, int insertions, int length) {
  EXPECT_EQ(counts.substitutions, substitutions);
  EXPECT_EQ(counts.deletions, deletions);
  EXPECT_EQ(counts.insertions, insertions);
  EXPECT_EQ(counts.reference_length, length);
}

TEST(CharacterEdits, CountsEachKind) {
  expect_counts(character_edits("kitten", "sitting"), 2, 0, 1, 6);
  expect_counts(character_edits("abc", "abc"), 0, 0, 0, 3);
  expect_counts(character_edits("abc", ""), 0, 3, 0, 3);
  expect_counts(character_edits("", "ab"), 0, 0, 2, 0);
  expect_counts(character_edits("", ""), 0, 0, 0, 0);
}

TEST(CharacterEdits, CountsCodePointsAndSpaces) {
  expect_counts(character_edits("ёлка", "елка"), 1, 0, 0, 4);
  expect_counts(character_edits("a b", "ab"), 0, 1, 0, 3);
}

TEST(CharacterEdits, RefuseTextThatIsNotUtf8) {
  EXPECT_THROW(character_edits("a", "\xFF"), DataError);
}

TEST(WordEdits, SplitAtRunsOfSpaces) {
  expect_counts(word_edits("the cat sat", " the  bat sat down "), 1, 0, 1, 3);
  expect_counts(word_edits("", "  "), 0, 0, 0, 0);
}

TEST(EditCounts, RateOfAnEmptyReferenceIsZeroOrOne) {
  EXPECT_EQ(character_edits("", "").rate(), 0.0);
  EXPECT_EQ(character_edits("", "abc").rate(), 1.0);
  EXPECT_EQ(character_edits("ab", "abxyz").rate(), 1.5);
}

TEST(EditCounts, ASetDividesSumsAndCountsInsertionsOfEmptyReferences) {
  EditCounts sum = character_edits("aaaaaaaaaa", "aaaaaaaaaa");
  sum += character_edits("b", "c");
  sum += character_edits("", "xx");
  EXPECT_DOUBLE_EQ(sum.rate(), 3.0 / 11.0);
}

// The smallest number of edits by plain recursion: slow, and not the algorithm under test.
int fewest_edits(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return static_cast<int>(a.size() + b.size());
  const std::string a_rest = a.substr(1), b_rest = b.substr(1);
  return std::min({fewest_edits(a_rest, b_rest) + (a[0] == b[0] ? 0 : 1), fewest_edits(a_rest, b) + 1,
                   fewest_edits(a, b_rest) + 1});
}

TEST(CharacterEdits, AreTheFewestPossible) {
  const uint64_t seed = 11;
  SCOPED_TRACE(concat("seed ", seed));
  for (uint64_t trial = 0; trial < 300; ++trial) {
    const RandomKey key = RandomKey(seed).with(trial);
    std::string a(key.below(6, 0), ' '), b(key.below(6, 1), ' ');
    for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<char>('a' + key.below(3, 10 + i));
    for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<char>('a' + key.below(3, 20 + i));
    const EditCounts counts = character_edits(a, b);
    ASSERT_EQ(counts.edits(), fewest_edits(a, b)) << a << " / " << b;
    ASSERT_EQ(counts.insertions - counts.deletions, static_cast<int64_t>(b.size()) - static_cast<int64_t>(a.size()));
    const EditCounts reversed = character_edits(b, a);
    ASSERT_EQ(reversed.edits(), counts.edits());
  }
}

// The whole matrix and a walk back through it: match or substitution first, then deletion, then insertion.
EditCounts by_matrix(const std::string& a, const std::string& b) {
  std::vector<std::vector<int>> cost(a.size() + 1, std::vector<int>(b.size() + 1));
  const auto diagonal = [&](size_t i, size_t j) { return cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1); };
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j)
      cost[i][j] = i == 0   ? static_cast<int>(j)
                   : j == 0 ? static_cast<int>(i)
                            : std::min({diagonal(i, j), cost[i - 1][j] + 1, cost[i][j - 1] + 1});
  EditCounts counts;
  counts.reference_length = static_cast<int64_t>(a.size());
  for (size_t i = a.size(), j = b.size(); i > 0 || j > 0;) {
    if (i > 0 && j > 0 && cost[i][j] == diagonal(i, j)) {
      counts.substitutions += a[i - 1] == b[j - 1] ? 0 : 1;
      --i, --j;
    } else if (i > 0 && cost[i][j] == cost[i - 1][j] + 1) {
      ++counts.deletions;
      --i;
    } else {
      ++counts.insertions;
      --j;
    }
  }
  return counts;
}

TEST(CharacterEdits, SplitAsAWalkBackThroughTheWholeMatrixDoes) {
  const uint64_t seed = 12;
  SCOPED_TRACE(concat("seed ", seed));
  for (uint64_t trial = 0; trial < 4000; ++trial) {
    const RandomKey key = RandomKey(seed).with(trial);
    const uint64_t letters = 1 + key.below(4, 2);
    std::string a(key.below(30, 0), ' '), b(key.below(30, 1), ' ');
    for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<char>('a' + key.below(letters, 10 + i));
    for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<char>('a' + key.below(letters, 50 + i));
    const EditCounts expected = by_matrix(a, b), found = character_edits(a, b);
    ASSERT_EQ(found.substitutions, expected.substitutions) << a << " / " << b;
    ASSERT_EQ(found.deletions, expected.deletions) << a << " / " << b;
    ASSERT_EQ(found.insertions, expected.insertions) << a << " / " << b;
  }
}

TEST(CharacterEdits, OfLongTextsNeedLittleMemory) {
  std::string reference;
  for (int i = 0; i < 10000; ++i) reference += static_cast<char>('a' + i * i % 26);
  const std::string hypothesis = reference.substr(0, 9700) + "!";
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const rlimit tight{mapped_bytes() + (100u << 20), before.rlim_max};  // the whole matrix takes 390 MB
  setrlimit(RLIMIT_AS, &tight);
  EditCounts counts;
  EXPECT_NO_THROW(counts = character_edits(reference, hypothesis));
  setrlimit(RLIMIT_AS, &before);
  expect_counts(counts, 1, 299, 0, 10000);
}

}  // namespace
}  // namespace rehearse
