// What the loss, a sum over the batch, is multiplied by, so that gradients neither vanish nor overflow in float16.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "trainer/base/config/config.h"

namespace rehearse {

// Dynamic (Micikevicius et al. 2018): halved when a gradient is not finite, doubled after that many finite updates in a
// row. Powers of two only, so scaling itself rounds nothing. All ranks see the same summed gradient, so all agree.
class LossScale {
 public:
  struct Options {
    double initial = 1;  // 1 and growth_updates 0: no scaling
    int64_t growth_updates = 0;
    // Reads `loss_scale` of `optimizer`; only float16 has it.
    static Options from(ConfigNode& optimizer);
  };
  explicit LossScale(const Options& options) : options_(options), factor_(options.initial) {}

  double factor() const { return factor_; }
  bool is_used() const { return options_.growth_updates > 0; }
  void shrink();
  void count_finite();

  nlohmann::json save() const;
  void load(const nlohmann::json& saved);

 private:
  Options options_;
  double factor_;
  int64_t num_finite_ = 0;  // in a row
};

}  // namespace rehearse
