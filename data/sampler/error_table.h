// What is remembered of every utterance: 18 bytes, in arrays, with the members of every bin in pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "trainer/base/state.h"

namespace rehearse {

// Every utterance is in exactly one bin of its domain. All operations on one utterance take constant time.
class ErrorTable {
 public:
  static constexpr uint8_t kSeen = 1;
  static constexpr uint8_t kQuarantined = 2;
  static constexpr uint8_t kStrikesShift = 2;   // two bits
  static constexpr uint32_t kMaxError = 65535;  // error 1

  // domain_sizes: utterances are numbered domain by domain. `bin_of`, `error_of`: where they begin.
  ErrorTable(const std::vector<uint32_t>& domain_sizes, size_t bins_per_domain, const std::vector<uint8_t>& bin_of,
             const std::vector<uint16_t>& error_of);

  uint32_t num_utterances() const { return static_cast<uint32_t>(error_.size()); }
  size_t bins_per_domain() const { return bins_per_domain_; }

  uint16_t error(uint32_t i) const { return error_[i]; }
  size_t bin(uint32_t i) const { return bin_[i]; }
  bool is_seen(uint32_t i) const { return (flags_[i] & kSeen) != 0; }
  bool is_quarantined(uint32_t i) const { return (flags_[i] & kQuarantined) != 0; }
  int strikes(uint32_t i) const { return flags_[i] >> kStrikesShift & 3; }
  uint16_t visits(uint32_t i) const { return visits_[i]; }
  uint32_t last_step(uint32_t i) const { return last_step_[i]; }  // of the last plan + 1; 0: never planned

  uint32_t count(size_t domain, size_t bin) const { return lists_[domain * bins_per_domain_ + bin].count; }
  uint64_t error_sum(size_t domain, size_t bin) const { return lists_[domain * bins_per_domain_ + bin].error_sum; }
  uint32_t member(size_t domain, size_t bin, uint32_t slot) const {
    return members_[address(lists_[domain * bins_per_domain_ + bin], slot)];
  }
  uint32_t slot(uint32_t i) const { return slot_[i]; }

  // Counts a planned visit (saturating).
  void plan(uint32_t i, uint32_t step_plus_one);
  void set_visits(uint32_t i, uint16_t visits) { visits_[i] = visits; }
  void set_flags(uint32_t i, bool is_seen, bool is_quarantined, int strikes);
  // New table value and bin; the bin's sums follow.
  void update(size_t domain, uint32_t i, uint16_t error, size_t bin);

  // Arrays "<prefix>.<error_name>", "<prefix>.visits" …; member order included, since it decides draws.
  void save(State& state, const std::string& prefix, const std::string& error_name) const;
  void load(const State& state, const std::string& prefix,
            const std::string& error_name);  // DataError when the arrays disagree with each other

 private:
  static constexpr uint32_t kPageBits = 10;  // 1,024 members per page
  static constexpr uint32_t kPageMask = (1u << kPageBits) - 1;
  struct List {
    uint32_t count = 0;
    uint64_t error_sum = 0;
    std::vector<uint32_t> pages;
  };
  static size_t address(const List& list, uint32_t slot) {
    return (static_cast<size_t>(list.pages[slot >> kPageBits]) << kPageBits) + (slot & kPageMask);
  }
  void insert(List& list, uint32_t i);
  void remove(List& list, uint32_t i);

  size_t bins_per_domain_;
  std::vector<uint32_t> domain_first_;
  std::vector<uint16_t> error_, visits_;
  std::vector<uint32_t> last_step_;
  std::vector<uint8_t> bin_, flags_;
  std::vector<uint32_t> slot_, members_;
  std::vector<List> lists_;
  std::vector<uint32_t> free_pages_;
};

}  // namespace rehearse
