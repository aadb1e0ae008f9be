#include "data/sampler/shares/realised_means.h"

#include "data/sampler/shares/tilt_solver.h"

namespace rehearse {
namespace {
constexpr double kPriorDraws = 8;
}

RealisedMeans::RealisedMeans(size_t num_bins, double window) : window_(window), bins_(num_bins) {}

double RealisedMeans::discount(const Bin& bin) const {
  return portable_exp(-static_cast<double>(clock_ - bin.clock) / window_);
}

void RealisedMeans::observe(size_t bin, double error) {
  ++clock_;
  if (bin >= bins_.size()) return;
  Bin& hit = bins_[bin];
  const double factor = discount(hit);
  hit.count = hit.count * factor + 1;
  hit.error = hit.error * factor + error;
  hit.clock = clock_;
}

double RealisedMeans::mean(size_t bin, double prior) const {
  const double factor = discount(bins_[bin]);
  return (kPriorDraws * prior + bins_[bin].error * factor) / (kPriorDraws + bins_[bin].count * factor);
}

void RealisedMeans::save(State& state, const std::string& prefix, const std::string& error_name) const {
  std::vector<double> count, error;
  std::vector<uint64_t> clock{clock_};
  for (const Bin& bin : bins_) {
    count.push_back(bin.count);
    error.push_back(bin.error);
    clock.push_back(bin.clock);
  }
  state.arrays[prefix + ".count"] = StateArray::of(count);
  state.arrays[prefix + "." + error_name] = StateArray::of(error);
  state.arrays[prefix + ".clock"] = StateArray::of(clock);
}

void RealisedMeans::load(const State& state, const std::string& prefix, const std::string& error_name) {
  const auto count = state.array<double>(prefix + ".count");
  const auto error = state.array<double>(prefix + "." + error_name);
  const auto clock = state.array<uint64_t>(prefix + ".clock");
  if (count.size() != bins_.size() || error.size() != bins_.size() || clock.size() != bins_.size() + 1)
    throw DataError("checkpoint arrays ", prefix, ".*: expected ", bins_.size(), " bins; found ", count.size(),
                    "; curriculum.bins and unseen_bins must be those of the saved run");
  clock_ = clock[0];
  for (size_t k = 0; k < bins_.size(); ++k) bins_[k] = {count[k], error[k], clock[k + 1]};
}

}  // namespace rehearse
