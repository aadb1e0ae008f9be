// Leaves out updates whose loss or gradient norm is far above what the run has seen lately.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "trainer/base/config/config.h"

namespace rehearse {

// Sees the global loss and norm, the same on all ranks, so all leave out an update or none does. Not thread-safe.
class OutlierGuard {
 public:
  struct Options {
    double z_score = 0;    // an update further above the mean than this many standard deviations is left out; 0: none
    int64_t window = 200;  // updates over which mean and deviation are remembered
    static Options from(ConfigNode& optimizer);
  };
  explicit OutlierGuard(const Options& options) : options_(options) {}

  // Empty: the update counts, and is remembered. Else why it is left out: "loss 8.1 is 9.3 deviations above
  // its mean". Judges the logarithms of both, after half a window; after kPatience in a row it begins to learn anew,
  // so that a run whose level has changed goes on.
  std::string judge(double loss, double gradient_norm);

  nlohmann::json save() const;
  void load(const nlohmann::json& saved);
  static constexpr int64_t kPatience = 10;

 private:
  // Mean and variance of recent values (exponential window).
  struct Level {
    double mean = 0, variance = 0;
    double deviations_above(double value) const;
    void add(double value, double share);
  };
  Options options_;
  Level loss_, norm_;
  int64_t num_seen_ = 0;
  int64_t num_left_out_ = 0;  // in a row
};

}  // namespace rehearse
