// Connectionist temporal classification of one utterance (Graves et al., ICML 2006): loss, gradient, greedy decoding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/kernels/ctc/ctc_length.h"

namespace rehearse {

struct CtcOutcome {
  double loss = 0;             // −ln p(target | logits); 0 when infeasible; NaN when a logit is not finite
  bool is_infeasible = false;  // target + adjacent repeats > frames
  bool is_by_logs = false;     // probabilities left the range of a double: computed in the log domain
};

// logits [frames, classes]; tokens lie in 0 … classes − 1 and differ from blank. When gradient is not null it receives
// weight · ∂loss/∂logits [frames, classes] (all zero when infeasible). The lattice holds probabilities in double, each
// frame scaled by a power of two (Rabiner 1989, V.A, with exact scales), the softmax is in the type of the logits;
// where a needed class is too unlikely for it, or a frame's paths do not add up to the whole, the log domain takes over
// (ctc_log_domain.h). Without a gradient it takes memory for two rows of the lattice, with the same loss to the last
// bit.
CtcOutcome ctc_loss_and_gradient(const float* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                                 int32_t blank, double weight, float* gradient);
CtcOutcome ctc_loss_and_gradient(const double* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                                 int32_t blank, double weight, double* gradient);

struct GreedyPath {
  std::vector<int32_t> tokens;  // repeats collapsed, blanks removed
  std::vector<int64_t> frames;  // where each token begins
  int64_t num_blank_frames = 0;
};
GreedyPath ctc_greedy(const float* logits, int64_t frames, int64_t classes, int32_t blank);
GreedyPath ctc_greedy(const double* logits, int64_t frames, int64_t classes, int32_t blank);
// From the best class of each frame.
GreedyPath ctc_collapse(std::span<const int32_t> best, int32_t blank);

}  // namespace rehearse
