// The lattice of ctc_lattice.h in logarithms: several times slower, and right for any finite logits. The way out where
// probabilities leave the range of a double.
#pragma once

#include "models/kernels/ctc/ctc_lattice.h"

namespace rehearse {

// As ctc_loss_and_gradient().
CtcOutcome ctc_in_log_domain(const float* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                             int32_t blank, double weight, float* gradient);
CtcOutcome ctc_in_log_domain(const double* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                             int32_t blank, double weight, double* gradient);

}  // namespace rehearse
