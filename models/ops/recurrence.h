// A recurrent layer in one direction over a batch of utterances of different lengths.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/block.h"
#include "models/kernels/recurrent_cell.h"

namespace rehearse {

struct RecurrentWeights {
  at::Tensor weight;  // [G · H, H] of the state
  at::Tensor bias;    // [G · H]
};

// input [B, T, G · H]: what the layer below gives to each gate, with its bias -> states [B, T, H], zero beyond lengths;
// differentiable. An utterance's states depend on its own frames alone; is_backward: from its last real frame to the
// first. On a CPU utterances are shared among threads, and only those that still have frames are computed; with
// bfloat16 by blocks (product.h) the operands of the state's product are rounded. On a device: libtorch's operators.
at::Tensor recurrence(const ForwardContext& context, Cell cell, const at::Tensor& input,
                      const RecurrentWeights& weights, const std::vector<int64_t>& lengths, bool is_backward);

}  // namespace rehearse
