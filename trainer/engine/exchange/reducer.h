// Bucketed all-reduce of the gradient arena, launched inside backward as gradients become ready.
#pragma once

#include <ATen/core/Tensor.h>

#include <future>
#include <memory>
#include <vector>

#include "trainer/base/trace.h"
#include "trainer/comm/communicator.h"
#include "trainer/engine/update/arena.h"

namespace rehearse {

// Buckets are slices of the gradient buffer, launched strictly in index order, so that every rank makes the same calls.
// The arena's tail goes out in finish(), with the last bucket; sums of running statistics after it. Frozen segments are
// never waited for. Used from the training thread only.
class Reducer {
 public:
  struct Options {
    size_t bucket_bytes = 1 << 20;  // a bucket ends with the segment that reaches it
    // The same for the first one, which starts the overlap, and the most that is left for the last one, which nothing
    // hides; neither is larger than the others. 0: as the others.
    size_t first_bucket_bytes = 0, last_bucket_bytes = 0;
    bool as_bfloat16 = false;  // gradients travel rounded to bfloat16, the tail does not
    // A slice of the arena for each rank, which then gets the sums of its own alone; empty: all get all.
    std::vector<size_t> slices;
  };
  // Arena, communicator and the lane that shows when buckets go out (null: none) outlive the reducer; the arena's order
  // must not change meanwhile.
  Reducer(Arena& arena, Communicator& communicator, const Options& options, TraceLane* lane = nullptr);
  ~Reducer();

  // Before the backward pass of the update's last micro-batch; earlier micro-batches only accumulate.
  void arm();
  // After that backward pass, with the tail filled in: launches what is left and waits for all buckets.
  void finish();

  size_t num_buckets() const { return buckets_.size(); }
  bool leaves_slices() const { return !slices_.empty() && communicator_.size() > 1; }
  double exposed_seconds() const { return exposed_seconds_; }  // spent waiting in the last finish()
  // Segments in the order in which their gradients came in the last armed backward pass; those that never came are
  // last. Empty in a world of one, which has nothing to overlap.
  std::vector<size_t> ready_order() const;

 private:
  struct Bucket {
    size_t offset = 0, length = 0;  // elements
    size_t first_segment = 0, num_segments = 0;
    size_t num_waiting = 0;
  };
  void cut_buckets(const Options& options);
  void add_hooks();
  void on_ready(size_t segment);
  void launch(size_t bucket);
  void launch_sum(const at::Tensor& values, const std::string& what);
  void launch_sum_of(const Bucket& bucket, const at::Tensor& gradients, const std::string& what);
  at::Tensor as_bfloat16(const Bucket& bucket);

  Arena& arena_;
  Communicator& communicator_;
  TraceLane* lane_;
  std::vector<size_t> slices_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_segment_;
  std::vector<bool> is_ready_;
  std::vector<size_t> arrivals_;
  size_t next_to_launch_ = 0;
  bool is_armed_ = false;
  at::Tensor rounded_;  // [elements] bfloat16, where gradients travel that way
  std::vector<std::future<void>> in_flight_;
  double exposed_seconds_ = 0;
  struct Hooks;
  std::unique_ptr<Hooks> hooks_;
};

}  // namespace rehearse
