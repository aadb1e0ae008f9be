#include "data/sampler/realised_means.h"

#include "data/sampler/tilt_solver.h"

namespace rehearse {
namespace {
constexpr double kPriorDraws = 8;
}

RealisedMeans::RealisedMeans(size_t num_bins, double window) : window_(window), bins_(num_bins) {}

double RealisedMeans::discount(const Bin& bin) const {
  return portable_exp(-static_cast<double>(clock_ - bin.clock) / window_);
}

void RealisedMeans::observe(size_t bin, double cer) {
  ++clock_;
  if (bin >= bins_.size()) return;
  Bin& hit = bins_[bin];
  const double factor = discount(hit);
  hit.count = hit.count * factor + 1;
  hit.cer = hit.cer * factor + cer;
  hit.clock = clock_;
}

double RealisedMeans::mean(size_t bin, double prior) const {
  const double factor = discount(bins_[bin]);
  return (kPriorDraws * prior + bins_[bin].cer * factor) / (kPriorDraws + bins_[bin].count * factor);
}

void RealisedMeans::save(State& state, const std::string& prefix) const {
  std::vector<double> count, cer;
  std::vector<uint64_t> clock{clock_};
  for (const Bin& bin : bins_) {
    count.push_back(bin.count);
    cer.push_back(bin.cer);
    clock.push_back(bin.clock);
  }
  state.arrays[prefix + ".count"] = StateArray::of(count);
  state.arrays[prefix + ".cer"] = StateArray::of(cer);
  state.arrays[prefix + ".clock"] = StateArray::of(clock);
}

void RealisedMeans::load(const State& state, const std::string& prefix) {
  const auto count = state.array<double>(prefix + ".count");
  const auto cer = state.array<double>(prefix + ".cer");
  const auto clock = state.array<uint64_t>(prefix + ".clock");
  if (count.size() != bins_.size() || cer.size() != bins_.size() || clock.size() != bins_.size() + 1)
    throw DataError("checkpoint arrays ", prefix, ".*: expected ", bins_.size(), " bins; found ", count.size(),
                    "; curriculum.bins and unseen_bins must be those of the saved run");
  clock_ = clock[0];
  for (size_t k = 0; k < bins_.size(); ++k) bins_[k] = {count[k], cer[k], clock[k + 1]};
}

}  // namespace rehearse
