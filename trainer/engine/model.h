// A model that can be trained or used: tokenizer, normaliser, task and its weights in the arena.
#pragma once

#include <memory>
#include <string>

#include "data/text/normalizer.h"
#include "data/text/tokenizer.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/engine/arena.h"
#include "trainer/tasks/task.h"

namespace rehearse {

class Recognizer {
 public:
  // Reads `features`, `model` and `data.normalizer` of the configuration; weights are initialised from `seed`.
  Recognizer(Config& config, std::unique_ptr<Tokenizer> tokenizer, uint64_t seed, AllReduceSum all_reduce_sum = {},
             at::Device device = at::kCPU);
  // The model of a checkpoint, with its own configuration, tokenizer and weights.
  static std::unique_ptr<Recognizer> from_checkpoint(const LoadedCheckpoint& checkpoint, at::Device device = at::kCPU);

  // Every tensor must be there with its shape: DataError else. kTrained goes on training, kForUse takes the averaged
  // weights where there are any.
  enum class Weights { kTrained, kForUse };
  void load_weights(const LoadedCheckpoint& checkpoint, Weights which);
  // For fine-tuning: head rows of pieces that both vocabularies share are copied, other head rows stay as initialised,
  // everything else must fit. Returns one sentence that says what was done.
  std::string load_weights_for_new_vocabulary(const LoadedCheckpoint& checkpoint, const Tokenizer& old_tokenizer);
  // For a checkpoint: views of parameters and buffers that lie on the host in the arena's layout.
  std::vector<TensorSpan> weights(const at::Tensor& parameters, const at::Tensor& buffers) const;

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Normalizer& normalizer() const { return normalizer_; }
  // What tokens say, normalised as references are.
  std::string text_of(const std::vector<int32_t>& tokens, const std::string& lang) const {
    return normalizer_(tokenizer_->decode(tokens), lang);
  }
  Task& task() { return *task_; }
  Arena& arena() { return *arena_; }
  static constexpr int kSampleRateHz = 16000;

 private:
  Normalizer normalizer_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Task> task_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Config> own_config_;  // of a checkpoint
};

// The tokenizer among a checkpoint's files.
std::unique_ptr<Tokenizer> tokenizer_of(const LoadedCheckpoint& checkpoint);

}  // namespace rehearse
