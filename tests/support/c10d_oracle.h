// PyTorch's own gradient reducer over our communicator: an oracle and a rival for ours.
#pragma once

#include <ATen/core/ivalue_inl.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <utility>
#include <vector>

#include "trainer/base/error.h"
#include "trainer/comm/communicator.h"

namespace rehearse {

// Sums and broadcasts for c10d. A thread of its own turns our futures into torch's, in order.
class C10dBackend : public c10d::Backend {
 public:
  explicit C10dBackend(Communicator& communicator)
      : Backend(communicator.rank(), communicator.size()),
        communicator_(communicator),
        waiter_([this](std::stop_token stop) { wait_for_all(stop); }) {}

  const std::string getBackendName() const override { return "rehearse"; }

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors, const c10d::AllreduceOptions&) override {
    at::Tensor& values = tensors.at(0);
    REHEARSE_CHECK(tensors.size() == 1 && values.is_contiguous(), "a bucket is one flat tensor");
    return later(communicator_.all_reduce_sum(std::span(values.data_ptr<float>(), static_cast<size_t>(values.numel())),
                                              "all_reduce (c10d)"),
                 tensors);
  }

  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override {
    for (at::Tensor& one : tensors)
      communicator_.broadcast({static_cast<std::byte*>(one.data_ptr()), one.nbytes()},
                              static_cast<int>(options.rootRank), "broadcast (c10d)");
    std::promise<void> done;
    done.set_value();
    return later(done.get_future(), tensors);
  }

 private:
  struct Pending : c10d::Work {
    explicit Pending(c10::intrusive_ptr<c10::ivalue::Future> future) : future_(std::move(future)) {}
    bool wait(std::chrono::milliseconds) override {
      future_->waitAndThrow();
      return true;
    }
    c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future_; }
    c10::intrusive_ptr<c10::ivalue::Future> future_;
  };
  struct Waiting {
    std::future<void> ours;
    c10::intrusive_ptr<c10::ivalue::Future> theirs;
    std::vector<at::Tensor> tensors;
  };

  c10::intrusive_ptr<c10d::Work> later(std::future<void> ours, const std::vector<at::Tensor>& tensors) {
    auto theirs = c10::make_intrusive<c10::ivalue::Future>(c10::ListType::ofTensors());
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back({std::move(ours), theirs, tensors});
    }
    arrived_.notify_one();
    return c10::make_intrusive<Pending>(theirs);
  }

  void wait_for_all(std::stop_token stop) {
    while (true) {
      Waiting next;
      {
        std::unique_lock lock(mutex_);
        if (!arrived_.wait(lock, stop, [this] { return !queue_.empty(); })) return;
        next = std::move(queue_.front());
        queue_.pop_front();
      }
      next.ours.get();
      next.theirs->markCompleted(c10::IValue(next.tensors));
    }
  }

  Communicator& communicator_;
  std::mutex mutex_;
  std::condition_variable_any arrived_;
  std::deque<Waiting> queue_;
  std::jthread waiter_;
};

// As DistributedDataParallel uses it: buckets in reverse order of creation, rebuilt after the first step, gradients as
// views of the buckets. Gradients come out divided by the number of ranks.
class C10dReducer {
 public:
  C10dReducer(std::vector<at::Tensor> parameters, Communicator& communicator, int64_t bucket_bytes,
              int64_t first_bucket_bytes)
      : group_(c10::make_intrusive<c10d::ProcessGroup>(communicator.rank(), communicator.size())) {
    const auto backend = c10::make_intrusive<C10dBackend>(communicator);
    group_->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::CUSTOM, backend);
    group_->setDefaultBackend(c10d::ProcessGroup::BackendType::CUSTOM);
    const std::vector<bool> sparse(parameters.size(), false);
    auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
        parameters, {static_cast<size_t>(first_bucket_bytes), static_cast<size_t>(bucket_bytes)}, sparse);
    std::reverse(buckets.begin(), buckets.end());
    reducer_ = std::make_unique<c10d::Reducer>(std::move(parameters), std::move(buckets), group_, sparse, bucket_bytes,
                                               false, true, std::unordered_map<size_t, std::string>(),
                                               first_bucket_bytes, false, false, std::vector<int64_t>());
  }

  void before_forward() {
    reducer_->prepare_for_forward();
    if (reducer_->should_rebuild_buckets()) reducer_->rebuild_buckets();
  }
  void before_backward() { reducer_->prepare_for_backward({}); }

 private:
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::unique_ptr<c10d::Reducer> reducer_;
};

}  // namespace rehearse
