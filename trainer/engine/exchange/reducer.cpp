#include "trainer/engine/exchange/reducer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <chrono>

#include "trainer/engine/exchange/tensor_collectives.h"

namespace rehearse {
namespace {

// Where each bucket ends, as a number of segments: `bytes[i]` is what segment i takes.
std::vector<size_t> bucket_ends(const std::vector<size_t>& bytes, const Reducer::Options& options) {
  const size_t first_bytes = std::min(options.first_bucket_bytes, options.bucket_bytes);
  const size_t last_bytes = std::min(options.last_bucket_bytes, options.bucket_bytes);
  // The last bucket first: as many segments as fit, at least one.
  size_t last_begin = bytes.size();
  if (last_bytes > 0 && bytes.size() > 1) {
    size_t taken = bytes[--last_begin];
    while (last_begin > 1 && taken + bytes[last_begin - 1] <= last_bytes) taken += bytes[--last_begin];
  }
  std::vector<size_t> ends;
  size_t taken = 0;
  for (size_t i = 0; i < last_begin; ++i) {
    taken += bytes[i];
    const bool is_first = ends.empty() && first_bytes > 0;
    if (taken < (is_first ? first_bytes : options.bucket_bytes) && i + 1 < last_begin) continue;
    ends.push_back(i + 1);
    taken = 0;
  }
  if (last_begin < bytes.size()) ends.push_back(bytes.size());
  return ends;
}

}  // namespace

// Keeps the accumulation nodes alive: autograd itself holds them weakly.
struct Reducer::Hooks {
  std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, uintptr_t>> nodes;
};

Reducer::Reducer(Arena& arena, Communicator& communicator, const Options& options, TraceLane* lane)
    : arena_(arena),
      communicator_(communicator),
      lane_(lane),
      slices_(options.slices),
      hooks_(std::make_unique<Hooks>()) {
  cut_buckets(options);
  if (communicator_.size() == 1) return;  // nothing to overlap
  if (options.as_bfloat16) {
    REHEARSE_CHECK(arena.gradients().scalar_type() == at::kFloat, "rounding starts from float");
    rounded_ =
        at::empty({static_cast<int64_t>(arena.num_elements())}, arena.gradients().options().dtype(at::kBFloat16));
  }
  add_hooks();
}

Reducer::~Reducer() {
  for (auto& [node, hook] : hooks_->nodes) node->del_post_hook(hook);
}

void Reducer::cut_buckets(const Options& options) {
  const std::vector<Segment>& segments = arena_.segments();
  const size_t element_size = arena_.gradients().element_size();
  // A segment takes what lies between its start and that of the next: with padding, so that buckets touch.
  std::vector<size_t> bytes;
  for (size_t i = 0; i < segments.size(); ++i) {
    const size_t end = i + 1 < segments.size() ? segments[i + 1].offset : arena_.num_elements();
    bytes.push_back((end - segments[i].offset) * element_size);
  }
  size_t first = 0;
  for (const size_t end : bucket_ends(bytes, options)) {
    Bucket bucket{segments[first].offset, 0, first, end - first, 0};
    bucket.length = (end < segments.size() ? segments[end].offset : arena_.num_elements()) - bucket.offset;
    bucket_of_segment_.insert(bucket_of_segment_.end(), bucket.num_segments, buckets_.size());
    buckets_.push_back(bucket);
    first = end;
  }
}

void Reducer::add_hooks() {
  for (size_t i = 0; i < arena_.segments().size(); ++i) {
    if (arena_.segments()[i].is_frozen) continue;
    auto node = torch::autograd::impl::grad_accumulator(arena_.tensor(i));
    const auto hook = node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, i](const torch::autograd::variable_list& outputs, const torch::autograd::variable_list&) {
          on_ready(i);
          return outputs;
        }));
    hooks_->nodes.emplace_back(std::move(node), hook);
  }
}

void Reducer::arm() {
  is_ready_.assign(arena_.segments().size(), false);
  for (Bucket& bucket : buckets_) {
    bucket.num_waiting = 0;
    for (size_t i = bucket.first_segment; i < bucket.first_segment + bucket.num_segments; ++i)
      if (!arena_.segments()[i].is_frozen) ++bucket.num_waiting;
  }
  next_to_launch_ = 0;
  in_flight_.clear();
  arrivals_.clear();
  is_armed_ = true;
}

void Reducer::on_ready(size_t segment) {
  if (!is_armed_ || is_ready_[segment]) return;
  is_ready_[segment] = true;
  arrivals_.push_back(segment);
  --buckets_[bucket_of_segment_[segment]].num_waiting;
  while (next_to_launch_ + 1 < buckets_.size() && buckets_[next_to_launch_].num_waiting == 0) launch(next_to_launch_++);
}

std::vector<size_t> Reducer::ready_order() const {
  if (communicator_.size() == 1) return {};
  std::vector<size_t> order = arrivals_;
  for (size_t i = 0; i < arena_.segments().size(); ++i)
    if (std::find(arrivals_.begin(), arrivals_.end(), i) == arrivals_.end()) order.push_back(i);
  return order;
}

void Reducer::launch(size_t index) {
  const Bucket& bucket = buckets_[index];
  const bool is_last = index + 1 == buckets_.size();
  const size_t kib = (bucket.length * arena_.gradients().element_size() + 1023) / 1024;
  const std::string what = concat(leaves_slices() ? "reduce_scatter" : "all_reduce", " (bucket ", index, " of ",
                                  buckets_.size(), ", ", kib, " KiB)", rounded_.defined() ? " as bfloat16" : "");
  if (lane_) lane_->instant(concat("launch bucket ", index, " of ", buckets_.size()));
  // The tail travels with the last bucket where that is summed whole, as it is.
  const bool takes_tail = is_last && !rounded_.defined() && !leaves_slices();
  const auto length = static_cast<int64_t>(bucket.length + (takes_tail ? Arena::kTail : 0));
  const at::Tensor gradients = arena_.gradients().narrow(0, static_cast<int64_t>(bucket.offset), length);
  launch_sum_of(bucket, rounded_.defined() ? as_bfloat16(bucket) : gradients, what);
  if (is_last && !takes_tail)
    launch_sum(arena_.gradients().narrow(0, static_cast<int64_t>(arena_.num_elements()), Arena::kTail),
               "all_reduce (sums)");
}

void Reducer::launch_sum_of(const Bucket& bucket, const at::Tensor& gradients, const std::string& what) {
  if (!leaves_slices()) return launch_sum(gradients, what);
  std::vector<size_t> bounds;
  for (const size_t bound : slices_)
    bounds.push_back(std::clamp(bound, bucket.offset, bucket.offset + bucket.length) - bucket.offset);
  in_flight_.push_back(reduce_slices(communicator_, gradients, bounds, what));
}

void Reducer::launch_sum(const at::Tensor& values, const std::string& what) {
  in_flight_.push_back(all_reduce_sum(communicator_, values, what));
}

at::Tensor Reducer::as_bfloat16(const Bucket& bucket) {
  const auto offset = static_cast<int64_t>(bucket.offset), length = static_cast<int64_t>(bucket.length);
  const at::Tensor rounded = rounded_.narrow(0, offset, length);
  rounded.copy_(arena_.gradients().narrow(0, offset, length));
  return rounded;
}

void Reducer::finish() {
  REHEARSE_CHECK(is_armed_, "finish() ends what arm() began");
  is_armed_ = false;
  while (next_to_launch_ < buckets_.size()) launch(next_to_launch_++);
  if (arena_.buffer_sums().defined()) launch_sum(arena_.buffer_sums(), "all_reduce (running statistics)");
  const auto start = std::chrono::steady_clock::now();
  for (std::future<void>& one : in_flight_) one.get();
  exposed_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (rounded_.defined()) arena_.gradients().narrow(0, 0, static_cast<int64_t>(arena_.num_elements())).copy_(rounded_);
}

}  // namespace rehearse
