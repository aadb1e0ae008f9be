// Bucketed all-reduce of the gradient arena, launched inside backward as gradients become ready.
#pragma once

#include <future>
#include <memory>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/engine/arena.h"

namespace rehearse {

// Buckets are slices of the gradient buffer, launched strictly in index order, so that every rank makes the same calls.
// The last bucket carries the arena's tail and goes out in finish(). Used from the training thread only.
class Reducer {
 public:
  // bucket_bytes: a bucket ends with the segment that reaches it. Arena and communicator outlive the reducer.
  Reducer(Arena& arena, Communicator& communicator, size_t bucket_bytes);
  ~Reducer();

  // Before the backward pass of the update's last micro-batch; earlier micro-batches only accumulate.
  void arm();
  // After that backward pass, with the tail filled in: launches what is left and waits for all buckets.
  void finish();

  size_t num_buckets() const { return buckets_.size(); }
  double exposed_seconds() const { return exposed_seconds_; }  // spent waiting in the last finish()

 private:
  struct Bucket {
    size_t offset = 0, length = 0;  // elements
    size_t num_segments = 0;
    size_t num_waiting = 0;
  };
  void on_ready(size_t segment);
  void launch(size_t bucket);

  Arena& arena_;
  Communicator& communicator_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_segment_;
  std::vector<bool> is_ready_;
  size_t next_to_launch_ = 0;
  bool is_armed_ = false;
  std::vector<std::future<void>> in_flight_;
  double exposed_seconds_ = 0;
  struct Hooks;
  std::unique_ptr<Hooks> hooks_;
};

}  // namespace rehearse
