// From a reduced gradient to new weights: finite check, clip, normaliser, guard, optimizer, buffers, average.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/comm/communicator.h"
#include "trainer/engine/step_tally.h"
#include "trainer/engine/update/arena.h"
#include "trainer/engine/update/optimizer.h"
#include "trainer/engine/update/update_options.h"

namespace rehearse {

// The slice of the arena that a rank updates, in elements; all of it without sharding. Slices begin at multiples of 64
// bytes, in a large arena of kSumBlock, and cover the arena.
std::vector<size_t> shard_bounds(size_t num_elements, int num_shards);

// The gradient is the same on all ranks, so all decide the same. Without sharding nothing is communicated.
class Update {
 public:
  // All outlive the update. `optimizer` was made for this rank's slice.
  Update(const UpdateOptions& options, Arena& arena, Optimizer& optimizer, Communicator& communicator);

  enum class Outcome { kApplied, kNothingDrawn, kLeftOut };
  struct Result {
    Outcome outcome = Outcome::kNothingDrawn;
    double gradient_norm = 0;  // per unit of the normaliser, before clipping
    std::string reason;        // of an update that was left out
    bool is_finite = true;     // gradient, loss and buffers; false only with kLeftOut
  };
  // `gradient_squares` of the summed gradient of the loss times loss_scale(); `index` is this update's number, from 1.
  // What is left out changes nothing but the loss scale and the guard's count.
  Result apply(const StepTally& total, double gradient_squares, double lr, uint64_t index);

  bool has_average() const { return average_.defined(); }
  bool is_sharded() const { return bounds_.size() > 2; }
  // The ranks' slices, where each may have the gradient's sums of its own alone; empty where all have all.
  std::vector<size_t> slices_of_gradient() const;
  // `has_slice_alone`: this rank has the sums of its slice of slices_of_gradient(). With that a collective call.
  Arena::GradientTotals gradient_totals(bool has_slice_alone);
  // In the arena's layout, on its device.
  struct Average {
    at::Tensor parameters, buffers;
  };
  // Those of the arena before the first update. With sharding a collective call.
  Average average();
  // On the host, valid until release_state(): this rank's slice of each state buffer, the average's "ema" among them.
  using NamedValues = std::pair<std::string, std::span<const float>>;
  std::vector<NamedValues> own_state();
  // The same of the whole model in the arena's layout, on rank 0; nothing on the others. With sharding a collective
  // call, in pieces.
  std::vector<TensorSpan> gather_state(const std::vector<NamedValues>& own);
  void release_state();
  // Of the ranks' slices, and where this rank's begins.
  const std::vector<size_t>& bounds() const { return bounds_; }
  size_t begin() const { return bounds_[shard_]; }
  // Equal on all ranks; has_average() is true.
  const at::Tensor& average_buffers() const { return is_averaging_ ? average_buffers_ : arena_.buffers(); }
  // DataError when a buffer is absent or has another length.
  void load_state(const LoadedCheckpoint& checkpoint);
  OutlierGuard& guard() { return guard_; }
  LossScale& loss_scale() { return loss_scale_; }
  const OutlierGuard& guard() const { return guard_; }
  const LossScale& loss_scale() const { return loss_scale_; }

 private:
  size_t length() const { return bounds_[shard_ + 1] - bounds_[shard_]; }
  std::vector<Segment> own_segments() const;
  void step_on_threads(double lr, double scale, uint64_t index);
  void follow_average(uint64_t index);
  at::Tensor own_average() const;
  std::vector<float> gather(std::span<const float> own);
  void load_average(const LoadedCheckpoint& checkpoint, std::vector<float>& parameters);

  UpdateOptions options_;
  Arena& arena_;
  Optimizer& optimizer_;
  Communicator& communicator_;
  OutlierGuard guard_;
  LossScale loss_scale_;
  std::vector<size_t> bounds_;
  size_t shard_ = 0;
  at::Tensor average_;                    // [length()]
  at::Tensor average_buffers_;            // in the layout of the arena's buffers, on every rank
  bool is_averaging_ = false;             // they have values
  at::Tensor host_average_;               // what own_state() shows
  std::vector<std::vector<float>> held_;  // what gather_state() shows
};

// While it lives, the arena's parameters and buffers are the averaged ones (or stay as they are, where there is no
// average).
class AveragedWeights {
 public:
  AveragedWeights(Update& update, Arena& arena);
  ~AveragedWeights();
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  Arena& arena_;
  Update::Average live_;
};

}  // namespace rehearse
