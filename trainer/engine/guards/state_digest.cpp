#include "trainer/engine/guards/state_digest.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "trainer/base/error.h"
#include "trainer/base/finite.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

constexpr uint64_t kFactor = 0x9E3779B97F4A7C15ull;
constexpr size_t kLanes = 8;

std::string described(const std::string& name, size_t element, float value) {
  return concat(name, " (element ", element, ": ", not_finite_text(value), ")");
}

}  // namespace

// Lanes, so that the multiplications of one do not wait for another's.
uint64_t digest_of(std::span<const float> values, uint64_t seed) {
  uint64_t lanes[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = mix64(seed + lane + 1);
  const auto absorb = [&](size_t lane, float value) {
    lanes[lane] = lanes[lane] * kFactor + std::bit_cast<uint32_t>(value) + 1;
  };
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) absorb(lane, values[i + lane]);
  for (size_t lane = 0; i < values.size(); ++i, ++lane) absorb(lane, values[i]);
  uint64_t digest = mix64(values.size());
  for (const uint64_t lane : lanes) digest = mix64(digest ^ lane);
  return digest;
}

std::string name_of_not_finite(std::span<const float> values, const std::vector<Segment>& segments, size_t begin) {
  for (const Segment& segment : segments) {
    const size_t from = std::max(segment.offset, begin),
                 to = std::min(segment.offset + segment.length, begin + values.size());
    if (from >= to) continue;
    const auto own = values.subspan(from - begin, to - from);
    if (const auto found = first_not_finite(own))
      return described(segment.name, from - segment.offset + *found, own[*found]);
  }
  return "";
}

void StateDigest::note_not_finite(const std::string& what) {
  if (not_finite[0] != '\0') return;
  std::strncpy(not_finite, what.c_str(), sizeof not_finite - 1);
}

void expect_equal_digests(const std::vector<uint64_t>& by_rank, uint64_t step, const std::string& what) {
  std::map<uint64_t, size_t> count;
  for (const uint64_t digest : by_rank) ++count[digest];
  if (count.size() <= 1) return;
  // Most are right; of two halves that of rank 0.
  uint64_t right = by_rank[0];
  for (const auto& [digest, ranks] : count)
    if (ranks > count[right]) right = digest;
  const auto same = static_cast<size_t>(std::find(by_rank.begin(), by_rank.end(), right) - by_rank.begin());
  for (size_t rank = 0; rank < by_rank.size(); ++rank)
    if (by_rank[rank] != right)
      throw CommError("step ", step, ": expected equal ", what, " on all ranks; found rank ", rank,
                      " different from rank ", same, "; resume from the last checkpoint and check that rank's machine");
}

}  // namespace rehearse
