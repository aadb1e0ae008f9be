#include "trainer/engine/update/outlier_guard.h"

#include <algorithm>
#include <cmath>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

// A deviation below this says that nothing varies, not that everything is an outlier.
constexpr double kLeastDeviation = 0.02;

double logarithm(double value) {
  return std::log(std::max(value, 1e-12));
}

double tenths(double value) {
  return std::round(value * 10) / 10;
}

}  // namespace

OutlierGuard::Options OutlierGuard::Options::from(ConfigNode& optimizer) {
  ConfigNode guard = optimizer.child("guard");
  Options options;
  options.z_score = guard.number("z_score", 0, {0, 1e6});
  options.window = guard.integer("window", 200, {10, 1000000});
  return options;
}

double OutlierGuard::Level::deviations_above(double value) const {
  return (value - mean) / std::max(std::sqrt(variance), kLeastDeviation);
}

// West 1979, with a constant share for the newest value.
void OutlierGuard::Level::add(double value, double share) {
  const double difference = value - mean;
  mean += share * difference;
  variance = (1 - share) * (variance + share * difference * difference);
}

std::string OutlierGuard::judge(double loss, double gradient_norm) {
  if (options_.z_score <= 0) return "";
  const double values[] = {logarithm(loss), logarithm(gradient_norm)};
  const double above[] = {loss_.deviations_above(values[0]), norm_.deviations_above(values[1])};
  if (num_seen_ >= options_.window / 2 && std::max(above[0], above[1]) > options_.z_score) {
    if (++num_left_out_ <= kPatience) {
      const bool is_loss = above[0] > above[1];
      return concat(is_loss ? "loss " : "gradient norm ", is_loss ? loss : gradient_norm, " is ",
                    tenths(above[is_loss ? 0 : 1]), " deviations above its recent mean (optimizer.guard.z_score ",
                    options_.z_score, ")");
    }
    num_seen_ = 0;
  }
  num_left_out_ = 0;
  ++num_seen_;
  const double share = std::max(1.0 / static_cast<double>(num_seen_), 1.0 / static_cast<double>(options_.window));
  loss_.add(values[0], share);
  norm_.add(values[1], share);
  return "";
}

nlohmann::json OutlierGuard::save() const {
  return {{"loss", {loss_.mean, loss_.variance}},
          {"norm", {norm_.mean, norm_.variance}},
          {"num_seen", num_seen_},
          {"num_left_out", num_left_out_}};
}

void OutlierGuard::load(const nlohmann::json& saved) {
  loss_ = {saved.at("loss").at(0), saved.at("loss").at(1)};
  norm_ = {saved.at("norm").at(0), saved.at("norm").at(1)};
  num_seen_ = saved.at("num_seen");
  num_left_out_ = saved.at("num_left_out");
}

}  // namespace rehearse
