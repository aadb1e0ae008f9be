// The floats of one optimizer state, on the host or on a device.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "models/kernels/device_memory.h"

namespace rehearse {

// Zero at first. On a device the host side is a copy that exists while a checkpoint is written or read.
class StateBuffer {
 public:
  // `device` null: the host.
  StateBuffer(size_t count, const DeviceTable* device) : device_(device) {
    if (!device_) host_.resize(count);
    if (device_)
      memory_ = {device_->get<AllocateOnDevice>()(static_cast<int64_t>(count)), device_->get<ReleaseOnDevice>()};
    count_ = count;
  }
  // Where the buffer lives.
  float* data() { return device_ ? memory_.get() : host_.data(); }
  // Its values on the host; on a device a new copy.
  std::span<float> on_host() {
    if (device_) {
      host_.resize(count_);
      device_->get<DownloadOnDevice>()(host_.data(), memory_.get(), static_cast<int64_t>(count_));
    }
    return host_;
  }
  // What was written into on_host()'s span becomes the buffer's content.
  void take_from_host() {
    if (!device_) return;
    device_->get<UploadOnDevice>()(memory_.get(), host_.data(), static_cast<int64_t>(count_));
    release_host();
  }
  // Ends on_host()'s copy of a device's memory.
  void release_host() {
    if (device_) host_ = {};
  }

 private:
  const DeviceTable* device_;
  std::vector<float> host_;
  std::unique_ptr<float, void (*)(float*)> memory_{nullptr, nullptr};
  size_t count_ = 0;
};

}  // namespace rehearse
