// Keeps utterances whose text looks wrong out of training until a probe clears them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/sampler/cer_table.h"
#include "trainer/base/state.h"

namespace rehearse {

// The bins of one domain in the CER table: seen by CER, unseen by length, quarantined by CER, unreadable files.
struct BinLayout {
  static constexpr size_t kQuarantineBins = 16;
  size_t seen = 64;
  size_t unseen = 8;

  size_t drawable() const { return seen + unseen; }
  size_t bad_file() const { return drawable() + kQuarantineBins; }
  size_t total() const { return bad_file() + 1; }
  size_t of(uint16_t cer) const { return cer * seen >> 16; }
  size_t quarantine_of(uint16_t cer) const { return drawable() + (cer * kQuarantineBins >> 16); }
};

// One observed CER of an utterance against its domain's cut-off.
struct Measurement {
  size_t domain = 0;
  uint32_t utterance = 0;
  uint16_t cer = 0;    // observed, in 1/65535
  uint16_t table = 0;  // new table value
  double cut = 0.9;
  bool is_good_domain = false;
  uint64_t step = 0;
};

// So many observed CERs above the cut in a row while the domain is good: quarantined. One at or below it: released, no
// strikes. At most a share of a domain, the worst first; unreadable files do not count, and one that can be read is
// released.
class Quarantine {
 public:
  struct Options {
    int strikes = 2;
    double max_share = 0.25;
  };
  Quarantine(const BinLayout& layout, const std::vector<uint32_t>& domain_sizes, const Options& options)
      : layout_(layout), domain_sizes_(domain_sizes), options_(options) {}

  // Updates value, flags and bin of the utterance in the table.
  void apply(CerTable& table, const Measurement& m);
  void add_bad_file(CerTable& table, size_t domain, uint32_t utterance, uint64_t step);

  uint32_t count(const CerTable& table, size_t domain) const;  // without bad files
  bool is_full(const CerTable& table, size_t domain) const;    // more than may be set aside looks wrong
  uint32_t bad_files(const CerTable& table, size_t domain) const { return table.count(domain, layout_.bad_file()); }

  struct Record {
    uint16_t cer_before = 0;  // table value before the strike that set it aside
    uint16_t cer = 0;         // observed at that strike; the table knows what came later
    uint64_t step = 0;
    double cut = 0;
    bool is_bad_file = false;
  };
  const std::map<uint32_t, Record>& records() const { return records_; }  // by utterance

  void save(State& state, const std::string& prefix) const;
  void load(const State& state, const std::string& prefix);
  // What another run had quarantined, for an utterance already in a bin of the table.
  void adopt(CerTable& table, size_t domain, uint32_t utterance, const Record& record);

 private:
  bool make_room(CerTable& table, const Measurement& m);
  uint32_t most(size_t domain) const {
    return static_cast<uint32_t>(options_.max_share * static_cast<double>(domain_sizes_[domain]));
  }
  BinLayout layout_;
  std::vector<uint32_t> domain_sizes_;
  Options options_;
  std::map<uint32_t, Record> records_;
};

}  // namespace rehearse
