// From a reduced gradient to new weights: finite check, clip, normaliser, guard, optimizer, average.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/engine/arena.h"
#include "trainer/engine/checkpoint.h"
#include "trainer/engine/optimizer.h"
#include "trainer/engine/step_tally.h"
#include "trainer/engine/update_options.h"

namespace rehearse {

// The slice of the arena that a rank updates, in elements; all of it without sharding. Slices begin at multiples of 64
// bytes and cover the arena.
std::vector<size_t> shard_bounds(size_t num_elements, int num_shards);

// The gradient is the same on all ranks, so all decide the same. Without sharding nothing is communicated.
class Update {
 public:
  // All outlive the update. `optimizer` was made for this rank's slice.
  Update(const UpdateOptions& options, Arena& arena, Optimizer& optimizer, Communicator& communicator);

  enum class Outcome { kApplied, kNothingDrawn, kLeftOut };
  struct Result {
    Outcome outcome = Outcome::kNothingDrawn;
    double gradient_norm = 0;  // per token, before clipping
    std::string reason;        // of an update that was left out
  };
  // `gradient_squares` of the summed gradient of the loss times loss_scale(); `index` is this update's number, from 1.
  Result apply(const StepTally& total, double gradient_squares, double lr, uint64_t index);

  bool has_average() const { return average_.defined(); }
  bool is_sharded() const { return bounds_.size() > 2; }
  // Averaged weights in the arena's layout, on its device; those of the arena before the first update. With sharding a
  // collective call.
  at::Tensor average();
  // State buffers of the whole model in the arena's layout, valid until release_state(). With sharding a collective
  // call, whose result rank 0 keeps.
  std::vector<TensorSpan> state();
  void release_state();
  // DataError when a buffer is absent or has another length.
  void load_state(const LoadedCheckpoint& checkpoint);
  OutlierGuard& guard() { return guard_; }
  LossScale& loss_scale() { return loss_scale_; }

 private:
  size_t begin() const { return bounds_[shard_]; }
  size_t length() const { return bounds_[shard_ + 1] - bounds_[shard_]; }
  std::vector<Segment> own_segments() const;
  void follow_average(uint64_t index);
  at::Tensor own_average() const;
  std::vector<float> gather(std::span<const float> own);

  UpdateOptions options_;
  Arena& arena_;
  Optimizer& optimizer_;
  Communicator& communicator_;
  OutlierGuard guard_;
  LossScale loss_scale_;
  std::vector<size_t> bounds_;
  size_t shard_ = 0;
  at::Tensor average_;                    // [length()]
  bool is_averaging_ = false;             // average_ has values
  at::Tensor host_average_;               // what state() shows
  std::vector<std::vector<float>> held_;  // the same, gathered
};

// While it lives, the arena's parameters are the averaged ones (or stay as they are, where there is no average).
class AveragedWeights {
 public:
  AveragedWeights(Update& update, Arena& arena);
  ~AveragedWeights();
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  Arena& arena_;
  at::Tensor live_;
};

}  // namespace rehearse
