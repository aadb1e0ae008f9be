// Values that a device still computes, on the host later.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

namespace rehearse {

// The copy to page-locked memory is enqueued at once and waited for when it is read. Of a host tensor: that tensor.
class HostCopy {
 public:
  explicit HostCopy(const at::Tensor& values) : values_(values.to(at::kCPU, /*non_blocking=*/true)) {
    if (values.is_cpu()) return;
    arrived_.emplace(values.device().type());
    arrived_->record(c10::impl::VirtualGuardImpl(values.device().type()).getStream(values.device()));
  }
  const at::Tensor& read() {
    if (arrived_) arrived_->synchronize();
    arrived_.reset();
    return values_;
  }

 private:
  at::Tensor values_;
  std::optional<c10::Event> arrived_;
};

}  // namespace rehearse
