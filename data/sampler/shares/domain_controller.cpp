#include "data/sampler/shares/domain_controller.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

// Smallest value with at least half of the weight at or below it.
double weighted_median(std::vector<std::pair<double, double>> values) {  // value, weight
  std::sort(values.begin(), values.end());
  double total = 0;
  for (const auto& [value, weight] : values) total += weight;
  double below = 0;
  for (const auto& [value, weight] : values)
    if ((below += weight) * 2 >= total) return value;
  return 1;
}

}  // namespace

DomainController::DomainController(const SamplerOptions& options, const std::string& domain)
    : options_(options), domain_(domain), target_(options.target_of(domain)), is_replay_(options.is_replay(domain)) {}

double DomainController::goal() const {
  return std::clamp(target_ + trim_, 0.01, 0.9);
}

bool DomainController::assess(std::span<const TiltBin> bins) {
  std::vector<std::pair<double, double>> values;
  double sum = 0, count = 0;
  for (const TiltBin& bin : bins) {
    if (bin.count <= 0) continue;
    values.emplace_back(bin.mean, bin.count);
    sum += bin.mean * bin.count;
    count += bin.count;
  }
  if (count <= 0) return false;
  expected_error_ = sum / count;
  median_ = weighted_median(values);
  for (auto& [value, weight] : values) value = std::abs(value - median_);
  is_good_ = median_ <= options_.good_median;
  cut_ = std::min(std::max(options_.cut_min, median_ + options_.cut_mads * weighted_median(values)), options_.cut_max);
  return true;
}

std::vector<TiltBin> DomainController::split_suspects(std::span<const TiltBin> bins, size_t num_seen) {
  std::vector<TiltBin> drawable(bins.begin(), bins.end());
  std::vector<uint64_t> suspects(bins.size(), 0);
  is_suspect_.assign(bins.size(), false);
  for (size_t k = 0; k < bins.size(); ++k) {
    if (!is_good_ || bins[k].mean <= cut_) continue;
    drawable[k].count = 0;
    if (k >= num_seen) continue;
    suspects[k] = static_cast<uint64_t>(bins[k].count);
    is_suspect_[k] = true;
  }
  suspect_pick_.set_weights(suspects);
  return drawable;
}

void DomainController::solve(std::span<const TiltBin> bins, size_t num_seen) {
  if (!assess(bins))
    throw DataError("curriculum: domain ", domain_,
                    ": expected examples that can be drawn; found all of them quarantined; check its files and labels");
  const std::vector<TiltBin> drawable = split_suspects(bins, num_seen);
  is_held_ = false;
  if (is_replay_ && options_.replay_tilt == "uniform") {
    tilt_ = tilt_at(drawable, 0);
  } else {
    tilt_ = solve_tilt(drawable, {goal(), options_.min_breadth, options_.lambda_max}, tilt_.lambda);
    if (is_replay_ && options_.replay_tilt == "hold" && lambda_ceiling_ && tilt_.lambda > *lambda_ceiling_) {
      tilt_ = tilt_at(drawable, *lambda_ceiling_);
      is_held_ = true;
    }
  }
  tilt_pick_.set_probabilities(tilt_probabilities(drawable, tilt_.lambda));
}

void DomainController::restore_picks(std::span<const TiltBin> bins, size_t num_seen) {
  tilt_pick_.set_probabilities(tilt_probabilities(split_suspects(bins, num_seen), tilt_.lambda));
}

void DomainController::steer(uint64_t draws, double deviation_sum, uint64_t delay, bool in_warmup) {
  if (in_warmup) {
    trim_ = 0;
    return;
  }
  const double horizon = std::max(options_.integral_draws, 2.0 * static_cast<double>(delay));
  if (state() == "on target")
    trim_ = std::clamp(trim_ + deviation_sum / horizon, -options_.trim_max, options_.trim_max);
  else
    trim_ *= 1 - std::min(1.0, static_cast<double>(draws) / horizon);
}

void DomainController::mark_switch(double lambda, double expected_error) {
  tilt_.lambda = lambda;
  lambda_ceiling_ = lambda;
  reference_error_ = expected_error;
  expected_error_ = expected_error;  // stays so when nothing is drawn: at share 0 forgetting cannot be seen
}

double DomainController::lambda_for_target(std::span<const TiltBin> bins, size_t num_seen) {
  REHEARSE_CHECK(assess(bins), "a tilt is asked for where something is known");
  const std::vector<TiltBin> drawable = split_suspects(bins, num_seen);
  if (tilt_at(drawable, options_.lambda_max).mean > target_) return 0;
  return solve_tilt(drawable, {target_, options_.min_breadth, options_.lambda_max}, 0).lambda;
}

std::string DomainController::state() const {
  if (is_replay_ && options_.replay_tilt == "uniform") return "uniform";
  if (is_held_) return "held";
  switch (tilt_.state) {
    case TiltState::kLearned:
      return "learned";
    case TiltState::kOnTarget:
      return "on target";
    case TiltState::kBreadth:
      return "breadth";
    case TiltState::kTooHard:
      return "too hard";
  }
  return "";
}

nlohmann::json DomainController::to_json() const {
  nlohmann::json json = {{"trim", trim_},
                         {"lambda", tilt_.lambda},
                         {"tilt_state", static_cast<int>(tilt_.state)},
                         {"mean", tilt_.mean},
                         {"breadth", tilt_.breadth},
                         {"is_held", is_held_},
                         {"is_good", is_good_},
                         {"median", median_},
                         {"cut", cut_},
                         {"expected_" + options_.error_name, expected_error_}};
  if (lambda_ceiling_) json["lambda_ceiling"] = *lambda_ceiling_;
  if (reference_error_) json["reference_" + options_.error_name] = *reference_error_;
  return json;
}

void DomainController::from_json(const nlohmann::json& json) {
  trim_ = json.at("trim");
  tilt_.lambda = json.at("lambda");
  tilt_.state = static_cast<TiltState>(json.at("tilt_state").get<int>());
  tilt_.mean = json.at("mean");
  tilt_.breadth = json.at("breadth");
  is_held_ = json.at("is_held");
  is_good_ = json.at("is_good");
  median_ = json.at("median");
  cut_ = json.at("cut");
  expected_error_ = json.at("expected_" + options_.error_name);
  lambda_ceiling_.reset();
  reference_error_.reset();
  if (json.contains("lambda_ceiling")) lambda_ceiling_ = json["lambda_ceiling"].get<double>();
  if (const auto saved = json.find("reference_" + options_.error_name); saved != json.end())
    reference_error_ = saved->get<double>();
}

}  // namespace rehearse
