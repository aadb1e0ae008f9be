// A pseudo-random order of 0 … n - 1 that needs no memory: a Feistel network with cycle walking.
#pragma once

#include <bit>
#include <cstdint>

#include "trainer/base/random.h"

namespace rehearse {

class KeyedPermutation {
 public:
  KeyedPermutation(uint64_t n, const RandomKey& key)
      : n_(n), key_(key), half_bits_(n > 1 ? (static_cast<unsigned>(std::bit_width(n - 1)) + 1) / 2 : 0) {}

  // The value at `index` < n; distinct indices give distinct values.
  uint64_t at(uint64_t index) const {
    if (n_ <= 1) return 0;
    uint64_t value = index;
    do {
      value = shuffle(value);  // the network covers less than 4n values: about two turns on average
    } while (value >= n_);
    return value;
  }

 private:
  uint64_t shuffle(uint64_t value) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = value >> half_bits_;
    uint64_t right = value & mask;
    for (uint64_t round = 0; round < 6; ++round) {
      const uint64_t mixed = left ^ (key_.with(round).bits(right) & mask);
      left = right;
      right = mixed;
    }
    return left << half_bits_ | right;
  }

  uint64_t n_;
  RandomKey key_;
  unsigned half_bits_;
};

}  // namespace rehearse
