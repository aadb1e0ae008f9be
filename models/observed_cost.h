// What a piece of a model computes and keeps, observed while it runs: blocks declare nothing.
#pragma once

#include <ATen/record_function.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/block.h"

// In a step that multiplies outside libtorch: says how many floating-point operations the rest of its scope does.
#define REHEARSE_COUNTS_FLOPS(flops) \
  RECORD_FUNCTION("rehearse::flops", std::vector<c10::IValue>({static_cast<double>(flops)}))

namespace rehearse {

class AcousticModel;

// Floating-point operations of the products that this thread begins while the counter lives, a multiply-add being two:
// matrix products, convolutions, attention and what REHEARSE_COUNTS_FLOPS says; forward or backward. Of the backward
// pass of attention nothing is counted that was computed forward already. One at a time in a thread.
class FlopCounter {
 public:
  FlopCounter();
  ~FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;
  double flops() const { return flops_; }

 private:
  struct Counted;
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function);
  static void end(const at::RecordFunction&, at::ObserverContext* counted);

  double flops_ = 0;
  int depth_ = 0;  // of counted calls: what they call is theirs
  at::CallbackHandle handle_;
};

// Host memory that this thread takes from libtorch while the counter lives.
class AllocationCounter {
 public:
  AllocationCounter();
  ~AllocationCounter();
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;
  int64_t allocations() const;
  int64_t bytes() const;       // of all allocations
  int64_t kept_bytes() const;  // of those not freed yet

 private:
  struct Watch;
  std::shared_ptr<Watch> watch_;
  struct Guard;
  std::unique_ptr<Guard> guard_;
};

// For each stage of the model: from the first to the last frame of the input [1, frames, C] that the frame in the
// middle of its output depends on in evaluation, found by gradients; 0: on the first and on the last one, so the field
// is at least that long.
std::vector<int64_t> receptive_fields(AcousticModel& model, int64_t channels, int64_t frames);

}  // namespace rehearse
