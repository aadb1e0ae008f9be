#include "trainer/device/host_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

namespace rehearse {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kStepBits = 1;
constexpr size_t kStepsPerPower = size_t{1} << kStepBits;
constexpr size_t kSmallest = size_t{256} << 20;
constexpr size_t kNumSizes = 64 * kStepsPerPower;

// Stands in the 64 bytes before what a tensor sees.
struct Header {
  size_t index = 0;
  size_t asked = 0;
};
static_assert(sizeof(Header) <= kAlignment);

// Sizes in units of 64 bytes: 1, 2, 3, 4, 6, 8, 12, 16 … Few of them, so that micro-batches of nearly equal size use
// the same memory, which is still in a cache then.
size_t size_index(size_t bytes) {
  const size_t units = (bytes + kAlignment - 1) / kAlignment;
  if (units <= kStepsPerPower) return units;
  const size_t power = std::bit_width(units - 1) - 1;  // 2^power < units ≤ 2^(power + 1)
  const size_t step = size_t{1} << (power - kStepBits);
  return (power - kStepBits + 1) * kStepsPerPower + (units - (size_t{1} << power) + step - 1) / step;
}

size_t size_at(size_t index) {
  if (index <= kStepsPerPower) return index * kAlignment;
  const size_t power = (index - 1) / kStepsPerPower + kStepBits - 1;
  const size_t steps = index - (power - kStepBits + 1) * kStepsPerPower;
  return ((size_t{1} << power) + (steps << (power - kStepBits))) * kAlignment;
}

class HostMemory : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &end, c10::Device(c10::DeviceType::CPU)};
    const size_t index = size_index(bytes);
    void* block = take(index);
    if (!block) block = from_system(index);
    new (block) Header{index, bytes};
    void* data = static_cast<char*>(block) + kAlignment;
    if (c10::memoryProfilingEnabled()) report(data, static_cast<int64_t>(bytes));
    return {data, data, &end, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &end; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }

  HostMemoryCount count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  // It outlives every tensor, those of static objects too.
  static HostMemory& instance() {
    static auto* const kMemory = new HostMemory;
    return *kMemory;
  }

 private:
  static void end(void* data) {
    if (!data) return;
    void* block = static_cast<char*>(data) - kAlignment;
    const Header header = *static_cast<Header*>(block);
    if (c10::memoryProfilingEnabled()) report(data, -static_cast<int64_t>(header.asked));
    instance().keep(header.index, block);
  }

  // What waits is at most as much as tensors ever needed at one time, or kSmallest.
  void keep(size_t index, void* block) {
    const std::lock_guard lock(mutex_);
    const size_t bytes = size_at(index) + kAlignment;
    in_use_bytes_ -= bytes;
    free_[index].push_back(block);
    if (count_.held_bytes - in_use_bytes_ > std::max(peak_bytes_, kSmallest)) give_back();
  }

  static void report(void* data, int64_t bytes) {
    const size_t held = instance().count().held_bytes;
    c10::reportMemoryUsageToProfiler(data, bytes, held, held, c10::Device(c10::DeviceType::CPU));
  }

  // The one that was given back last: it is the likeliest to be in a cache.
  void* take(size_t index) {
    const std::lock_guard lock(mutex_);
    std::vector<void*>& blocks = free_[index];
    if (blocks.empty()) return nullptr;
    void* block = blocks.back();
    blocks.pop_back();
    ++count_.reused;
    use(size_at(index) + kAlignment);
    return block;
  }

  void* from_system(size_t index) {
    const size_t bytes = size_at(index) + kAlignment;
    void* block = std::aligned_alloc(kAlignment, bytes);
    if (!block) {
      {
        const std::lock_guard lock(mutex_);
        give_back();
      }
      block = std::aligned_alloc(kAlignment, bytes);
    }
    if (!block) throw std::bad_alloc();
    const std::lock_guard lock(mutex_);
    ++count_.from_system;
    count_.held_bytes += bytes;
    use(bytes);
    return block;
  }

  // Under the lock, as give_back().
  void use(size_t bytes) {
    in_use_bytes_ += bytes;
    peak_bytes_ = std::max(peak_bytes_, in_use_bytes_);
  }
  void give_back() {  // all that waits
    for (size_t index = 0; index < kNumSizes; ++index) {
      for (void* block : free_[index]) std::free(block);
      count_.held_bytes -= free_[index].size() * (size_at(index) + kAlignment);
      free_[index].clear();
    }
  }

  std::mutex mutex_;
  std::array<std::vector<void*>, kNumSizes> free_;
  HostMemoryCount count_;
  size_t in_use_bytes_ = 0;
  size_t peak_bytes_ = 0;
};

}  // namespace

void keep_host_memory() {
  c10::SetCPUAllocator(&HostMemory::instance());
}

HostMemoryCount host_memory_count() {
  return HostMemory::instance().count();
}

}  // namespace rehearse
