// Whether ranks hold the same bits, and whether those are numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trainer/engine/update/optimizer.h"

namespace rehearse {

// 64 bits over the values' bits in fixed order. Against accidents, not against intent.
uint64_t digest_of(std::span<const float> values, uint64_t seed = 0);

// "name (element 7: nan)" of the first value that is not finite, in segment order; empty: none. `values` are those from
// element `begin` of the segments' flat buffer on; padding does not count.
std::string name_of_not_finite(std::span<const float> values, const std::vector<Segment>& segments, size_t begin = 0);

// What one rank tells the others before a checkpoint is written.
struct StateDigest {
  uint64_t replicated = 0;                        // of what every rank holds
  uint64_t shard = 0;                             // of the slices that this rank alone holds
  char not_finite[160] = "";                      // the first tensor that is not finite, cut
  void note_not_finite(const std::string& what);  // the first one stays
};

// CommError that names the rank whose digest is not that of most, `what` is compared ("weights").
void expect_equal_digests(const std::vector<uint64_t>& by_rank, uint64_t step, const std::string& what);

}  // namespace rehearse
