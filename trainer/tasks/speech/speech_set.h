// A corpus as a task's examples.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "data/speech/speech_batch.h"
#include "trainer/tasks/task.h"

namespace rehearse {

// For a GPU: the samples are in page-locked memory, and `samples` is empty.
struct PinnedSpeechBatch : SpeechBatch {
  at::Tensor pinned;  // [B, max_samples]
};

struct SpeechSet : ExampleSet {
  // `readers` and `augmentations` outlive it; `how` and `augmentations` are of training; is_for_gpu: load() makes a
  // PinnedSpeechBatch.
  SpeechSet(Corpus utterances, const AudioReaders& readers,
            const std::vector<std::unique_ptr<Augmentation>>& augmentations, const SpeechLoading::Options& how,
            uint64_t seed, bool is_for_gpu);
  std::unique_ptr<Batch> load(const MicroBatch& plan, const std::stop_token& stop) const override;
  std::unique_ptr<Batch> load_plain(const MicroBatch& plan, const std::stop_token& stop) const override {
    return plain_.load(plan, stop);
  }

  const Corpus corpus;

 private:
  SpeechLoading augmented_, plain_;
  bool is_for_gpu_;
};

}  // namespace rehearse
