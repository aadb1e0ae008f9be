// What the update does besides the optimizer's own rule; keys of `optimizer` in the configuration.
#pragma once

#include "models/precision.h"
#include "trainer/engine/update/loss_scale.h"
#include "trainer/engine/update/outlier_guard.h"

namespace rehearse {

struct UpdateOptions {
  double clip_norm = 1;       // 0: no clipping
  bool is_sharded = false;    // each rank updates its slice and keeps that slice's state alone (ZeRO stage 1)
  double ema_decay = 0;       // of the averaged weights and buffers; 0: none
  int64_t max_left_out = 50;  // updates in a row that are not finite: then the run ends
  OutlierGuard::Options guard;
  LossScale::Options loss_scale;
  static UpdateOptions from(ConfigNode optimizer, Precision precision);
};

}  // namespace rehearse
