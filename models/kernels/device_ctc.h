// The CTC loss and the best classes on a device.
#pragma once

#include <cstdint>

#include "models/kernels/device_table.h"

namespace rehearse {

inline constexpr int64_t kMostSharedStates = 3072;  // two rows of them fill 48 KiB

// One utterance of a CTC batch. Tokens with the same number are one group, so that a gradient has one writer.
struct DeviceCtcUtterance {
  int32_t frames = 0;  // 0: left out (weight 0 or infeasible)
  int32_t num_labels = 0;
  int32_t num_groups = 0;
  int32_t tokens = 0;  // where its tokens begin; as many places into `order`
  int32_t groups = 0;  // where its num_groups + 1 group bounds begin
  float weight = 0;
};
struct DeviceCtc {
  const float* logits;  // [B, T, V]
  int64_t utterances;
  int64_t frames;   // T
  int64_t classes;  // V
  int32_t blank;
  int64_t states;                       // S: most states (2 labels + 1) of an utterance
  const DeviceCtcUtterance* utterance;  // [B]
  const int32_t* tokens;                // concatenated
  const int32_t* order;                 // places in the utterance's tokens, sorted by token, then place
  const int32_t* groups;                // bounds of equal tokens within `order`
  double* row_log_sum;                  // [B, T] scratch
  double* alpha;                        // [B, T, S] scratch
  double* beta;                         // [B, T, S] scratch
  double* rows;                         // [B, 2, 2, S] scratch when S > kMostSharedStates, else null
  double* losses;                       // [B]
  float* gradient;                      // [B, T, V]
  void* stream;
};

// Losses and gradient of all utterances (zero where left out, NaN where a logit is not finite).
struct CtcOnDevice {
  static constexpr const char* kName = "ctc";
  using Signature = void(const DeviceCtc& call);
};
// Best class of each row, the first of equals: best [rows].
struct ArgmaxOnDevice {
  static constexpr const char* kName = "argmax";
  using Signature = void(const float* logits, int64_t rows, int64_t classes, int32_t* best, void* stream);
};

}  // namespace rehearse
