// What draws from each bin really scored lately. The table lags behind the model, and low bins are low partly by luck.
#pragma once

#include <cstdint>
#include <vector>

#include "trainer/base/state.h"

namespace rehearse {

// Per bin of one domain: discounted count W and error sum R; every observed draw of the domain discounts all bins by
// exp(-1 / window), lazily.
class RealisedMeans {
 public:
  RealisedMeans(size_t num_bins, double window);

  // A draw of the domain, planned from `bin` (>= num_bins: from none), scored `error`.
  void observe(size_t bin, double error);
  // r = (8·prior + R) / (8 + W)
  double mean(size_t bin, double prior) const;

  // Arrays "<prefix>.count", "<prefix>.<error_name>", "<prefix>.clock".
  void save(State& state, const std::string& prefix, const std::string& error_name) const;
  void load(const State& state, const std::string& prefix, const std::string& error_name);
  size_t num_bins() const { return bins_.size(); }

 private:
  struct Bin {
    double count = 0;
    double error = 0;
    uint64_t clock = 0;  // when last discounted
  };
  double discount(const Bin& bin) const;
  double window_;
  uint64_t clock_ = 0;  // observed draws of the domain
  std::vector<Bin> bins_;
};

}  // namespace rehearse
