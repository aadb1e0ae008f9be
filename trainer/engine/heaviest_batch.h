// The most memory that a run can ask for at once, asked for before it begins.
#pragma once

#include "data/sampler/batch_planner.h"
#include "data/speech/corpus.h"
#include "trainer/engine/train_parts.h"

namespace rehearse {

// As many of the longest utterances as one micro-batch of the run may hold.
MicroBatch heaviest_batch(const Corpus& corpus, const BatchPlanner::Options& options);

// Longest utterance times their number.
double padded_seconds(const Corpus& corpus, const MicroBatch& batch);

struct TrialParts {
  const RunOptions& options;
  Recognizer& recognizer;
  const Corpus& corpus;
  const AudioReaders& readers;
  const std::vector<std::unique_ptr<Augmentation>>& augmentations;
};
LoadedBatch load_batch(const TrialParts& parts, const MicroBatch& batch);

// One forward and backward pass of this micro-batch, of which nothing stays: parameters, buffers, gradients and random
// numbers are afterwards as they were. A CommError that names batch.seconds when the device's memory does not suffice.
// Batch norms sum over ranks, so every rank makes the same calls.
TaskOutput try_batch(const TrialParts& parts, const LoadedBatch& batch);

}  // namespace rehearse
