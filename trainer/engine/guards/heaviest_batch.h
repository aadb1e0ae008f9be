// The most memory that a run can ask for at once, asked for before it begins.
#pragma once

#include "data/dataset.h"
#include "data/loader/loader.h"
#include "trainer/engine/train_parts.h"

namespace rehearse {

// As many of the largest examples as one micro-batch of the run may hold.
MicroBatch heaviest_batch(const Dataset& dataset, const BatchPlanner::Options& options);

// The largest cost times their number.
double padded_cost(const Dataset& dataset, const MicroBatch& batch);

struct TrialParts {
  const RunOptions& options;
  Model& model;
};
// One forward and backward pass of this micro-batch, of which nothing stays: parameters, buffers, gradients and random
// numbers are afterwards as they were. A CommError that names batch.seconds when the device's memory does not suffice.
// Batch norms sum over ranks, so every rank makes the same calls.
TaskOutput try_batch(const TrialParts& parts, const Batch& batch);

}  // namespace rehearse
