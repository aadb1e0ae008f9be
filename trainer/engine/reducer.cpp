#include "trainer/engine/reducer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <chrono>

namespace rehearse {

// Keeps the accumulation nodes alive: autograd itself holds them weakly.
struct Reducer::Hooks {
  std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, uintptr_t>> nodes;
};

Reducer::Reducer(Arena& arena, Communicator& communicator, size_t bucket_bytes)
    : arena_(arena), communicator_(communicator), hooks_(std::make_unique<Hooks>()) {
  const size_t element_size = arena.gradients().element_size();
  buckets_.push_back({});
  for (size_t i = 0; i < arena.segments().size(); ++i) {
    const Segment& segment = arena.segments()[i];
    if (buckets_.back().length * element_size >= bucket_bytes) buckets_.push_back({segment.offset, 0, 0, 0});
    Bucket& bucket = buckets_.back();
    bucket.length = segment.offset + segment.length - bucket.offset;
    ++bucket.num_segments;
    bucket_of_segment_.push_back(buckets_.size() - 1);
  }
  buckets_.back().length = arena.num_elements() + Arena::kTail - buckets_.back().offset;

  if (communicator_.size() == 1) return;  // nothing to overlap
  for (size_t i = 0; i < arena.segments().size(); ++i) {
    auto node = torch::autograd::impl::grad_accumulator(arena.tensor(i));
    const auto hook = node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, i](const torch::autograd::variable_list& outputs, const torch::autograd::variable_list&) {
          on_ready(i);
          return outputs;
        }));
    hooks_->nodes.emplace_back(std::move(node), hook);
  }
}

Reducer::~Reducer() {
  for (auto& [node, hook] : hooks_->nodes) node->del_post_hook(hook);
}

void Reducer::arm() {
  for (Bucket& bucket : buckets_) bucket.num_waiting = bucket.num_segments;
  is_ready_.assign(arena_.segments().size(), false);
  next_to_launch_ = 0;
  in_flight_.clear();
  is_armed_ = true;
}

void Reducer::on_ready(size_t segment) {
  if (!is_armed_ || is_ready_[segment]) return;
  is_ready_[segment] = true;
  --buckets_[bucket_of_segment_[segment]].num_waiting;
  while (next_to_launch_ + 1 < buckets_.size() && buckets_[next_to_launch_].num_waiting == 0) launch(next_to_launch_++);
}

void Reducer::launch(size_t index) {
  const Bucket& bucket = buckets_[index];
  const double mib = static_cast<double>(bucket.length * arena_.gradients().element_size()) / (1 << 20);
  const std::string what = concat("all_reduce (bucket ", index, " of ", buckets_.size(), ", ",
                                  static_cast<double>(static_cast<int>(mib * 10 + 0.5)) / 10, " MiB)");
  if (arena_.gradients().scalar_type() == at::kDouble) {
    in_flight_.push_back(communicator_.all_reduce_sum(
        std::span(arena_.gradients().data_ptr<double>() + bucket.offset, bucket.length), what));
  } else {
    in_flight_.push_back(communicator_.all_reduce_sum(
        std::span(arena_.gradients().data_ptr<float>() + bucket.offset, bucket.length), what));
  }
}

void Reducer::finish() {
  REHEARSE_CHECK(is_armed_, "finish() ends what arm() began");
  is_armed_ = false;
  while (next_to_launch_ < buckets_.size()) launch(next_to_launch_++);
  const auto start = std::chrono::steady_clock::now();
  for (std::future<void>& one : in_flight_) one.get();
  exposed_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace rehearse
