// Counter-based randomness: every draw is a pure function of its key and index. No generator state exists to save.
#pragma once

#include <cstdint>
#include <string_view>

namespace rehearse {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection with full avalanche.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// FNV-1a of the bytes, then mixed: stable across platforms and versions (part of the manifest's stable ids).
constexpr uint64_t hash_text(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  return mix64(hash);
}

// RandomKey(seed).with("augment").with(utterance_id).with(visit).uniform(0)
class RandomKey {
 public:
  constexpr explicit RandomKey(uint64_t seed) : value_(mix64(seed)) {}
  constexpr RandomKey with(uint64_t part) const { return RandomKey(value_ ^ mix64(part + 0x632BE59BD9B4E019ull)); }
  constexpr RandomKey with(std::string_view purpose) const { return with(hash_text(purpose)); }

  constexpr uint64_t value() const { return value_; }
  constexpr uint64_t bits(uint64_t index) const { return mix64(value_ ^ mix64(index)); }
  // In [0, 1), 53 bits.
  constexpr double uniform(uint64_t index) const { return static_cast<double>(bits(index) >> 11) * 0x1.0p-53; }
  // In [0, n); n > 0. Multiply-shift; the bias below n / 2^64 does not matter here.
  constexpr uint64_t below(uint64_t n, uint64_t index) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(bits(index)) * n) >> 64);
  }
  // Standard normal (Box-Muller), a function of indices 2i and 2i + 1.
  double normal(uint64_t index) const;

 private:
  uint64_t value_;
};

}  // namespace rehearse
