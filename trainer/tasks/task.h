// What is learned: from a batch of audio and tokens to a loss sum and scored hypotheses.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/loader/batch.h"
#include "data/text/tokenizer.h"
#include "models/block.h"

namespace rehearse {

// Sum over the batch's learned utterances; the trainer divides by the normaliser summed over all ranks.
struct TaskOutput {
  at::Tensor loss_sum;                             // scalar with a graph; undefined when nothing is learned
  double normalizer = 0;                           // target tokens
  std::vector<double> losses;                      // [B]
  std::vector<bool> is_infeasible;                 // [B] fewer frames than its tokens need: nothing to learn from
  std::vector<std::vector<int32_t>> hypotheses;    // [B] tokens, greedy
  std::vector<std::vector<int64_t>> token_frames;  // [B] output frame of each hypothesis token
  Sequence logits;                                 // [B, T', V] of the model, without a graph
  int64_t blank_frames = 0;
  int64_t frames = 0;
  double model_seconds = 0;  // front-end and encoder
  double loss_seconds = 0;

  // A device computes on while the host goes ahead: losses, hypotheses, token frames and blank frames are there after
  // this, which waits for them. To be called once backward has been launched, or at once where nothing is learned.
  void collect() {
    if (const auto waiting = std::exchange(pending, nullptr)) waiting(*this);
  }
  std::function<void(TaskOutput&)> pending;
};

// Plug-in ("ctc"): one file in trainer/tasks. Used from the training thread.
class Task {
 public:
  struct Context {
    ConfigNode features;                   // the map `features`
    ConfigNode blocks;                     // the map `model`
    const Tokenizer* tokenizer = nullptr;  // outlives the task
    uint64_t seed = 1;                     // of the initial weights
    AllReduceSum all_reduce_sum;
    int sample_rate_hz = 16000;
    at::Device device = at::kCPU;
  };
  virtual ~Task() = default;
  virtual ParameterStore& store() = 0;
  virtual TaskOutput forward(const Batch& batch, const ForwardContext& context) = 0;
  // The second half of forward(): losses and hypotheses of logits [B, T', V], which may have been computed in parts.
  virtual TaskOutput judge(const Sequence& logits, const Batch& batch) = 0;
  // Exact number of output frames for an utterance of this duration.
  virtual int64_t output_frames(double duration_s) const = 0;
  virtual double seconds_per_frame() const = 0;  // of the output
  virtual nlohmann::json front_end() const = 0;  // spec and hash, compared when a checkpoint is loaded
  // Rows: block, parameters, output length of a 10 s utterance; for doctor.
  virtual std::vector<std::vector<std::string>> describe() const = 0;
};

}  // namespace rehearse
