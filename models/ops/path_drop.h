// Stochastic depth (Huang et al., 2016): a residual branch is left out for some utterances while training.
#pragma once

#include <cstdint>

#include "models/block.h"

namespace rehearse {

// Reads `drop_path`, the share of utterances that a branch is left out for; 0 for none.
double drop_path_from(ConfigNode& node);

// Of branch l of n: grows evenly, so that the last one has the whole rate.
inline double drop_path_of(double rate, int64_t branch, int64_t branches) {
  return rate * static_cast<double>(branch + 1) / static_cast<double>(branches);
}

// [B] of 0 or 1 / (1 − rate), in x's type and on its device; undefined outside training or at rate 0. A function of
// seed, step, utterance id, block and site alone, as dropout is.
at::Tensor path_factors(const at::Tensor& x, double rate, const ForwardContext& context, uint64_t block_index,
                        uint64_t site);

// x [B, T, C] times its factors.
at::Tensor path_drop(const at::Tensor& x, double rate, const ForwardContext& context, uint64_t block_index,
                     uint64_t site);

}  // namespace rehearse
