// Byte-level damage for parsers.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>

#include "trainer/base/random.h"

namespace rehearse::testing {

// New each time, or REHEARSE_FUZZ_SEED to repeat a run; always recorded with the test.
inline uint64_t fuzz_seed() {
  const char* given = std::getenv("REHEARSE_FUZZ_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("seed %llu (repeat with REHEARSE_FUZZ_SEED)\n", static_cast<unsigned long long>(seed));
  return seed;
}

// One to eight changes: a byte replaced, a bit flipped, bytes removed or repeated, or the end cut off.
inline std::string mutated(std::string bytes, const RandomKey& key) {
  const uint64_t changes = 1 + key.below(8, 0);
  for (uint64_t i = 0; i < changes && !bytes.empty(); ++i) {
    const RandomKey change = key.with(i + 1);
    const size_t at = change.below(bytes.size(), 0);
    const size_t length = 1 + change.below(16, 1);
    switch (change.below(8, 2)) {
      case 0:
      case 1:
        bytes[at] = static_cast<char>(change.below(256, 3));
        break;
      case 2:
      case 3:
      case 4:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << change.below(8, 3)));
        break;
      case 5:
        bytes.erase(at, length);
        break;
      case 6:
        bytes.insert(at, bytes.substr(at, length));
        break;
      default:
        bytes.resize(at);
    }
  }
  return bytes;
}

}  // namespace rehearse::testing
