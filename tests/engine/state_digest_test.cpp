#include "trainer/engine/guards/state_digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <set>

#include "trainer/base/error.h"
#include "trainer/base/finite.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

std::string refusal_of(const std::vector<uint64_t>& digests) {
  try {
    expect_equal_digests(digests, 40, "weights");
  } catch (const CommError& error) {
    return error.what();
  }
  return "no refusal";
}

TEST(StateDigest, EveryFlippedBitAndEverySwapIsSeen) {
  std::vector<float> values(77);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 30;
  const uint64_t whole = digest_of(values);
  EXPECT_EQ(digest_of(values), whole);
  std::set<uint64_t> seen = {whole};
  for (size_t i = 0; i < values.size(); ++i)
    for (const int bit : {0, 13, 31}) {
      std::vector<float> other = values;
      other[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(other[i]) ^ (1u << bit));
      EXPECT_TRUE(seen.insert(digest_of(other)).second) << i << " " << bit;
    }
  std::vector<float> swapped = values;
  std::swap(swapped[3], swapped[11]);  // both in one lane
  EXPECT_TRUE(seen.insert(digest_of(swapped)).second);
  EXPECT_TRUE(seen.insert(digest_of(std::span(values).first(76))).second);
  EXPECT_TRUE(seen.insert(digest_of(values, 5)).second) << "the seed counts";
  EXPECT_NE(digest_of(std::vector<float>{0.0f}), digest_of(std::vector<float>{-0.0f})) << "bits, not values";
}

TEST(StateDigest, TheRankThatDiffersIsNamedAlsoWhenItIsTheFirst) {
  EXPECT_EQ(refusal_of({7, 7, 7, 7}), "no refusal");
  EXPECT_EQ(refusal_of({7}), "no refusal");
  EXPECT_THAT(refusal_of({7, 7, 8, 7}), HasSubstr("step 40: expected equal weights on all ranks; found rank 2 "));
  EXPECT_THAT(refusal_of({8, 7, 7}), HasSubstr("found rank 0 different from rank 1;"));
  EXPECT_THAT(refusal_of({7, 8}), HasSubstr("found rank 1 different from rank 0;"));
}

TEST(StateDigest, TheFirstTensorThatIsNotFiniteIsNamedWithElementAndValue) {
  const std::vector<Segment> segments = {{.name = "head.bias", .shape = {3}, .offset = 0, .length = 3},
                                         {.name = "blocks.0.weight", .shape = {5}, .offset = 16, .length = 5}};
  std::vector<float> flat(32, 1);
  EXPECT_EQ(name_of_not_finite(flat, segments), "");
  flat[5] = kNan;
  EXPECT_EQ(name_of_not_finite(flat, segments), "") << "padding";
  flat[18] = kInfinity;
  EXPECT_EQ(name_of_not_finite(flat, segments), "blocks.0.weight (element 2: inf)");
  flat[1] = -kInfinity;
  EXPECT_EQ(name_of_not_finite(flat, segments), "head.bias (element 1: -inf)");
  EXPECT_EQ(name_of_not_finite(std::span(flat).subspan(17), segments, 17), "blocks.0.weight (element 2: inf)");
  EXPECT_EQ(name_of_not_finite(std::span(flat).first(1), segments), "") << "a slice that ends before it";
  std::vector<float> many(9000, std::numeric_limits<float>::max());
  EXPECT_EQ(first_not_finite(many), std::nullopt);
  many[8999] = kNan;
  EXPECT_EQ(first_not_finite(many), 8999u);
}

}  // namespace
}  // namespace rehearse
