#include <algorithm>
#include <cmath>
#include <numbers>

#include "trainer/base/registry.h"
#include "trainer/engine/update/schedule.h"

namespace rehearse {
namespace {

// Linear warm-up from 0, then a shape over the rest; Shape::at(x), x in [0, 1] since the end of warm-up.
template <class Shape>
class WarmedUp : public Schedule {
 public:
  static constexpr const char* kExample = Shape::kExample;
  struct Options {
    double warmup_share;
    Shape shape;
    static Options from(ConfigNode& node) { return {node.number("warmup_share", 0.05, {0, 0.9}), Shape::from(node)}; }
  };
  WarmedUp(const Options& options, const Context&) : options_(options) {}

  double factor(double progress) const override {
    progress = std::clamp(progress, 0.0, 1.0);
    if (progress < options_.warmup_share) return progress / options_.warmup_share;
    return options_.shape.at((progress - options_.warmup_share) / (1 - options_.warmup_share), options_.warmup_share);
  }
  double warmup_share() const override { return options_.warmup_share; }

 private:
  Options options_;
};

double read_final(ConfigNode& node) {
  return node.number("final_lr_share", 0.0, {0, 1});
}

struct ConstantShape {
  static constexpr const char* kExample = "{type: constant, warmup_share: 0.1}";
  static ConstantShape from(ConfigNode&) { return {}; }
  double at(double, double) const { return 1; }
};

struct CosineShape {
  static constexpr const char* kExample = "{type: cosine, warmup_share: 0.1}";
  double final_share;
  static CosineShape from(ConfigNode& node) { return {read_final(node)}; }
  double at(double x, double) const {
    return final_share + (1 - final_share) * 0.5 * (1 + std::cos(std::numbers::pi * x));
  }
};

struct LinearShape {
  static constexpr const char* kExample = "{type: linear, warmup_share: 0.1}";
  double final_share;
  static LinearShape from(ConfigNode& node) { return {read_final(node)}; }
  double at(double x, double) const { return 1 - (1 - final_share) * x; }
};

// Vaswani et al. 2017, equation 3, in units of the warm-up: sqrt(warm-up / progress).
struct InverseRootShape {
  static constexpr const char* kExample = "{type: inverse_sqrt, warmup_share: 0.1}";
  static InverseRootShape from(ConfigNode&) { return {}; }
  double at(double x, double warmup) const {
    const double start = std::max(warmup, 1e-3);
    return std::sqrt(start / std::max(start, warmup + x * (1 - warmup)));
  }
};

// Warm-up, hold, then linear to the final rate (trapezoid).
struct HoldShape {
  static constexpr const char* kExample = "{type: hold, warmup_share: 0.1, hold_share: 0.6}";
  double hold_share;
  double final_share;
  static HoldShape from(ConfigNode& node) { return {node.number("hold_share", 0.7, {0, 1}), read_final(node)}; }
  double at(double x, double warmup) const {
    const double hold = std::min(1.0, hold_share / (1 - warmup));
    if (x <= hold || hold >= 1) return 1;
    return 1 - (1 - final_share) * (x - hold) / (1 - hold);
  }
};

using ConstantRate = WarmedUp<ConstantShape>;
using Cosine = WarmedUp<CosineShape>;
using Linear = WarmedUp<LinearShape>;
using InverseRoot = WarmedUp<InverseRootShape>;
using Hold = WarmedUp<HoldShape>;

REHEARSE_REGISTER(Schedule, "constant", ConstantRate);
REHEARSE_REGISTER(Schedule, "cosine", Cosine);
REHEARSE_REGISTER(Schedule, "linear", Linear);
REHEARSE_REGISTER(Schedule, "inverse_sqrt", InverseRoot);
REHEARSE_REGISTER(Schedule, "hold", Hold);

}  // namespace
}  // namespace rehearse
