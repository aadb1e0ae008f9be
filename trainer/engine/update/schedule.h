// Learning-rate schedules as a function of the share of the budget that is spent.
#pragma once

#include <memory>

#include "trainer/base/config/config.h"

namespace rehearse {

// Plug-in: trainer/engine/update/schedules/warmed_up.cpp holds the built-in ones.
class Schedule {
 public:
  struct Context {};
  virtual ~Schedule() = default;
  // Factor on optimizer.lr; progress in [0, 1].
  virtual double factor(double progress) const = 0;
  // Share of the budget that is warm-up (the curriculum's trim is frozen there).
  virtual double warmup_share() const = 0;
};

}  // namespace rehearse
