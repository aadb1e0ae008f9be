// A front-end's fixed numbers where and as the samples are, so that a device does not fetch them for every batch.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <mutex>

namespace rehearse {

// Made in double on the host. Copies share what was converted. Safe from several threads.
class Constant {
 public:
  Constant() = default;
  explicit Constant(at::Tensor values) : values_(std::move(values)) {}

  // Of these options' type and device; converted when they are not those of the last call.
  at::Tensor like(const at::Tensor& samples) const {
    const std::lock_guard lock(converted_->mutex);
    at::Tensor& last = converted_->values;
    if (!last.defined() || last.device() != samples.device() || last.scalar_type() != samples.scalar_type())
      last = values_.to(samples.options());
    return last;
  }

 private:
  struct Converted {
    std::mutex mutex;
    at::Tensor values;
  };
  at::Tensor values_;
  std::shared_ptr<Converted> converted_ = std::make_shared<Converted>();
};

}  // namespace rehearse
