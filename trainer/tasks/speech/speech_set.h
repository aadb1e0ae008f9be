// A corpus as a task's examples.
#pragma once

#include <memory>
#include <vector>

#include "data/speech/speech_batch.h"
#include "trainer/tasks/task.h"

namespace rehearse {

struct SpeechSet : ExampleSet {
  // `readers` and `augmentations` outlive it; `how` and `augmentations` are of training.
  SpeechSet(Corpus utterances, const AudioReaders& readers,
            const std::vector<std::unique_ptr<Augmentation>>& augmentations, const SpeechLoading::Options& how,
            uint64_t seed);
  std::unique_ptr<Batch> load(const MicroBatch& plan, const std::stop_token& stop) const override {
    return augmented_.load(plan, stop);
  }
  std::unique_ptr<Batch> load_plain(const MicroBatch& plan, const std::stop_token& stop) const override {
    return plain_.load(plan, stop);
  }

  const Corpus corpus;

 private:
  SpeechLoading augmented_, plain_;
};

}  // namespace rehearse
