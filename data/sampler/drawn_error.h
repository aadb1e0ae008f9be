// Mean error of a domain's latest draws, as the report shows it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "trainer/base/state.h"

namespace rehearse {

// Errors are counted in 1/65535. Sums of whole steps; the window is the fewest latest steps with kMinDraws draws.
class DrawnError {
 public:
  static constexpr uint64_t kMinDraws = 1500;

  void add(uint64_t step, uint16_t error, bool is_probe);
  uint64_t num_draws() const { return total_.draws; }
  double mean() const;                 // 0 without draws
  double mean_without_probes() const;  // 0 without draws

  nlohmann::json to_json() const;
  static DrawnError from_json(const nlohmann::json& json);

 private:
  struct Sums {
    uint64_t step = 0;
    uint64_t draws = 0;
    uint64_t error = 0;
    uint64_t probes = 0;
    uint64_t probe_error = 0;
  };
  void count(const Sums& sums, bool is_added);
  std::deque<Sums> steps_;
  Sums total_;
};

}  // namespace rehearse
