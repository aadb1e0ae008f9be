// Connectionist temporal classification over a batch: log-softmax, loss and gradient in one kernel, and greedy
// decoding.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/block.h"
#include "models/kernels/ctc/ctc_lattice.h"

namespace rehearse {

class HostCopy;

struct CtcLoss {
  at::Tensor sum;                      // scalar Σ weight · loss, differentiable in the logits
  std::vector<double> losses;          // [B] −ln p(target); 0 where infeasible or weight 0
  std::vector<uint8_t> is_infeasible;  // [B] 1: target + adjacent repeats > frames; counts as loss 0, gradient 0
  std::shared_ptr<HostCopy> pending;   // of `losses`, while a device may still compute them; null on the CPU

  void collect();  // fills `losses`; waits for a device
};

// logits [B, T, V], frames beyond lengths ignored; targets [B] token lists without the blank; weights [B], 0 skips. The
// gradient of `sum` is computed here, so backward is one multiplication; where nothing asks for one (no graph) neither
// it nor a whole lattice is made, and memory does not grow with frames times tokens.
CtcLoss ctc_loss(const at::Tensor& logits, const std::vector<int64_t>& lengths,
                 const std::vector<std::vector<int32_t>>& targets, int32_t blank, const std::vector<double>& weights);

// Best token per frame, repeats collapsed, blanks removed; one path per utterance.
std::vector<GreedyPath> ctc_greedy_decode(const at::Tensor& logits, const std::vector<int64_t>& lengths, int32_t blank);

// The same in two halves: the first enqueues work on a device and does not wait for it.
class PendingPaths {
 public:
  PendingPaths(const at::Tensor& logits, const std::vector<int64_t>& lengths, int32_t blank);
  std::vector<GreedyPath> collect();

 private:
  std::vector<int64_t> lengths_;
  int32_t blank_;
  std::vector<GreedyPath> paths_;      // on the CPU
  std::shared_ptr<HostCopy> classes_;  // [B, T], of a device
};

}  // namespace rehearse
