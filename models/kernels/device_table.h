// Our functions on a device, by name: the CUDA plug-in brings them, models and optimizers compile and run without it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace rehearse {

// A function is declared once, as a type that both sides include:
//   struct ArgmaxOnDevice { static constexpr const char* kName = "argmax"; using Signature = void(const float* …); };
// A .cu file defines it and says REHEARSE_ON_DEVICE(ArgmaxOnDevice, argmax). Float only.
//
// Pointers are device memory unless they say host; a stream is a cudaStream_t. Calls only enqueue work; a refused
// launch throws CommError. No atomics: sums run in an order that depends on the shapes alone, so results are
// bit-stable.

// The binary and the plug-in that it loads agree about it: to be raised with every change of a signature, or of a
// struct in one. device_table_test holds the headers to it.
inline constexpr uint32_t kDeviceAbi = 3;

struct DeviceEntry {
  const char* name;
  void (*function)();
};

// What a plug-in brought.
class DeviceTable {
 public:
  explicit DeviceTable(std::span<const DeviceEntry> entries);  // of different names
  // One that the plug-in lacks is an error of ours: it has the ABI number of this binary.
  template <class Function>
  typename Function::Signature* get() const {
    return reinterpret_cast<typename Function::Signature*>(find(Function::kName));
  }
  std::vector<std::string> names() const;

 private:
  using Untyped = void (*)();
  Untyped find(const char* name) const;
  std::map<std::string, Untyped, std::less<>> functions_;
};

// The table of this process: null until the plug-in was loaded. Like libtorch's dispatcher it is one per process, since
// autograd calls the operations from threads of its own.
const DeviceTable* installed_device_table();
void install_device_table(std::span<const DeviceEntry> entries);

// The side of the plug-in: what its files registered (models/kernels/cuda/launch.cu).
std::vector<DeviceEntry>& device_entries();
template <class Function>
bool add_device_entry(typename Function::Signature* definition) {
  device_entries().push_back({Function::kName, reinterpret_cast<void (*)()>(definition)});
  return true;
}

}  // namespace rehearse

#define REHEARSE_ON_DEVICE(Function, definition) \
  [[maybe_unused]] static const bool kHas##Function = ::rehearse::add_device_entry<Function>(definition)
