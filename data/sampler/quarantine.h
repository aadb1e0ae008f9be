// Keeps utterances whose label looks wrong out of training until a probe clears them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/sampler/error_table.h"
#include "trainer/base/state.h"

namespace rehearse {

// The bins of one domain in the error table: seen by error, unseen by length, quarantined by error, unreadable files.
struct BinLayout {
  static constexpr size_t kQuarantineBins = 16;
  size_t seen = 64;
  size_t unseen = 8;

  size_t drawable() const { return seen + unseen; }
  size_t bad_file() const { return drawable() + kQuarantineBins; }
  size_t total() const { return bad_file() + 1; }
  size_t of(uint16_t error) const { return error * seen >> 16; }
  size_t quarantine_of(uint16_t error) const { return drawable() + (error * kQuarantineBins >> 16); }
};

// One observed error of an utterance against its domain's cut-off.
struct Measurement {
  size_t domain = 0;
  uint32_t utterance = 0;
  uint16_t error = 0;  // observed, in 1/65535
  uint16_t table = 0;  // new table value
  double cut = 0.9;
  bool is_good_domain = false;
  uint64_t step = 0;
};

// So many observed errors above the cut in a row while the domain is good: quarantined. One at or below it: released,
// no strikes. At most a share of a domain, the worst first; unreadable files do not count, and one that can be read is
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
  void apply(ErrorTable& table, const Measurement& m);
  void add_bad_file(ErrorTable& table, size_t domain, uint32_t utterance, uint64_t step);

  uint32_t count(const ErrorTable& table, size_t domain) const;  // without bad files
  bool is_full(const ErrorTable& table, size_t domain) const;    // more than may be set aside looks wrong
  uint32_t bad_files(const ErrorTable& table, size_t domain) const { return table.count(domain, layout_.bad_file()); }

  struct Record {
    uint16_t error_before = 0;  // table value before the strike that set it aside
    uint16_t error = 0;         // observed at that strike; the table knows what came later
    uint64_t step = 0;
    double cut = 0;
    bool is_bad_file = false;
  };
  const std::map<uint32_t, Record>& records() const { return records_; }  // by utterance

  void save(State& state, const std::string& prefix, const std::string& error_name) const;
  void load(const State& state, const std::string& prefix, const std::string& error_name);
  // What another run had quarantined, for an utterance already in a bin of the table.
  void adopt(ErrorTable& table, size_t domain, uint32_t utterance, const Record& record);

 private:
  bool make_room(ErrorTable& table, const Measurement& m);
  uint32_t most(size_t domain) const {
    return static_cast<uint32_t>(options_.max_share * static_cast<double>(domain_sizes_[domain]));
  }
  BinLayout layout_;
  std::vector<uint32_t> domain_sizes_;
  Options options_;
  std::map<uint32_t, Record> records_;
};

}  // namespace rehearse
