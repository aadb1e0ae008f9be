// Where a run computes: the CPU, or a GPU through the CUDA plug-in, which is loaded here and nowhere else.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>

#include "data/loader/batch.h"
#include "models/precision.h"
#include "trainer/comm/world.h"
#include "trainer/device/device_plugin.h"

namespace rehearse {

class Device {
 public:
  // `name` is the configuration's `device`: "cpu", or "cuda". For cuda it loads the plug-in before anything asks
  // libtorch for a device and chooses this rank's GPU. `is_deterministic` holds libtorch and NCCL to algorithms that
  // give equal bits, and float32 to 32 bits; without it they take the fastest, TF32 among them. ConfigError when this
  // build has no plug-in.
  static Device open(const std::string& name, const World& world, bool is_deterministic);

  at::Device torch() const { return torch_; }
  bool is_cpu() const { return torch_.is_cpu(); }
  // Threads for libtorch's work on the host: those of this rank, but one beside a GPU, where small tensors are filled
  // for it and sixteen threads take longer to wake up than one takes to fill them.
  int host_threads(const World& world) const { return is_cpu() ? world.fair_threads() : 1; }
  // One line for the log; empty on the CPU.
  std::string description() const;
  // Where the spans of a profile go besides its file; nowhere on the CPU.
  TraceRanges ranges() const { return plugin_ ? plugin_->ranges : TraceRanges{}; }
  std::unique_ptr<Communicator> make_communicator(const World& world, const CommOptions& options) const;

 private:
  at::Device torch_ = at::kCPU;
  const DevicePlugin* plugin_ = nullptr;
  DeviceFacts facts_;
};

// Does `work` on this batch. When the device's memory does not suffice: a CommError that says how big the batch was and
// that `key` makes it smaller. ConfigError when the device has no deterministic way and `deterministic` asks for one.
void on_device(const Batch& batch, const char* key, const std::function<void()>& work);

// What to say when `device` computes in `precision` more slowly than in float32; empty: nothing.
std::string precision_warning(Precision precision, at::Device device, bool has_instructions);
// Whether a processor has instructions for products in `precision`; cpu_facts: the text of its /proc/cpuinfo, empty
// when unknown: then it is given the benefit of the doubt.
bool has_instructions_for(Precision precision, const std::string& cpu_facts);

}  // namespace rehearse
