#include "trainer/engine/update/loss_scale.h"

#include <algorithm>
#include <cmath>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr double kLeast = 1.0 / (1 << 16), kMost = 1 << 24;

}  // namespace

LossScale::Options LossScale::Options::from(ConfigNode& optimizer) {
  ConfigNode node = optimizer.child("loss_scale");
  const double initial = node.number("initial", 16, {kLeast, kMost});
  if (std::exp2(std::round(std::log2(initial))) != initial)
    node.fail("initial", concat("expected a power of two; found ", initial));
  return {initial, node.integer("growth_updates", 2000, {1, 1000000000})};
}

void LossScale::shrink() {
  num_finite_ = 0;
  factor_ = std::max(kLeast, factor_ / 2);
}

void LossScale::count_finite() {
  if (!is_used() || ++num_finite_ < options_.growth_updates) return;
  num_finite_ = 0;
  factor_ = std::min(kMost, factor_ * 2);
}

nlohmann::json LossScale::save() const {
  return {{"factor", factor_}, {"num_finite", num_finite_}};
}

void LossScale::load(const nlohmann::json& saved) {
  factor_ = saved.at("factor");
  num_finite_ = saved.at("num_finite");
}

}  // namespace rehearse
