// What ranks do together, behind one interface: MPI on CPU, NCCL on GPU, nothing in a world of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "trainer/base/error.h"

namespace rehearse {

// The upper half of a float's bits: 8 bits of exponent, 7 of mantissa.
struct Bfloat16 {
  uint16_t bits = 0;
};

// Values in a device's memory: an address that only its own library may follow.
struct DeviceSpan {
  enum class Element { kFloat, kDouble, kBfloat16 };
  void* values = nullptr;
  size_t count = 0;
  Element element = Element::kFloat;

  size_t size_bytes() const {
    return count * (element == Element::kDouble ? sizeof(double) : element == Element::kFloat ? sizeof(float) : 2);
  }
};

// What one rank has sent and shared so far.
struct Traffic {
  uint64_t messages = 0, message_bytes = 0;  // to other hosts; where ranks of a host share no memory, to these too
  uint64_t meetings = 0, shared_bytes = 0;   // in the memory of its host: waits for each other, bytes written there
};

// Collectives are executed one after another, in the order of the calls, by one communication thread; every rank makes
// the same calls in the same order. A collective that misses comm.timeout_s ends the process with exit code 4 and a
// message naming the absent ranks. Calls may come from any thread; the buffers stay untouched by the caller until done.
// On a device nobody waits: get() returns once the collective is enqueued there, and whatever the calling thread
// enqueues afterwards comes behind it. Such memory may be given back by the calling thread as if the collective were
// done.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // In place, element-wise sum; `what` names it in messages ("all_reduce (bucket 3 of 9, 1024 KiB)").
  virtual std::future<void> all_reduce_sum(std::span<float> values, const std::string& what) = 0;
  virtual std::future<void> all_reduce_sum(std::span<double> values, const std::string& what) = 0;
  // Each addition is made in float and rounded to the nearest bfloat16.
  virtual std::future<void> all_reduce_sum(std::span<Bfloat16> values, const std::string& what) = 0;
  // The same sums, of which each rank needs a slice: afterwards values bounds[rank] … bounds[rank + 1] - 1 are theirs,
  // and the others are anything. size() + 1 bounds from 0 to the values' number.
  virtual std::future<void> reduce_slices(std::span<float> values, std::vector<size_t> bounds,
                                          const std::string& what) = 0;
  virtual std::future<void> reduce_slices(std::span<Bfloat16> values, std::vector<size_t> bounds,
                                          const std::string& what) = 0;
  // Every rank's bytes, in rank order; sizes may differ.
  virtual std::future<std::vector<std::vector<std::byte>>> all_gather(std::vector<std::byte> bytes,
                                                                      const std::string& what) = 0;
  // In place: afterwards every rank holds, of each rank r, its values bounds[r] … bounds[r + 1] - 1. size() + 1 bounds.
  virtual std::future<void> all_gather_slices(std::span<float> values, std::vector<size_t> bounds,
                                              const std::string& what) = 0;
  // The same for device memory: float, double or bfloat16, gathered slices float. A bug where no device is connected.
  virtual std::future<void> all_reduce_sum(DeviceSpan, const std::string& what) {
    REHEARSE_CHECK(false, what, ": no device is connected");
    return {};
  }
  virtual std::future<void> reduce_slices(DeviceSpan, std::vector<size_t>, const std::string& what) {
    REHEARSE_CHECK(false, what, ": no device is connected");
    return {};
  }
  virtual std::future<void> all_gather_slices(DeviceSpan, std::vector<size_t>, const std::string& what) {
    REHEARSE_CHECK(false, what, ": no device is connected");
    return {};
  }
  virtual void broadcast(std::span<std::byte> bytes, int root, const std::string& what) = 0;
  virtual void barrier(const std::string& what) = 0;

  // For watchdog messages: what the rank is doing now.
  virtual void set_step(uint64_t step) = 0;
  // While a rank that is there says that it is saving, nobody's wait counts, neither for comm.timeout_s nor for
  // comm.term_grace_s; a rank that dies or fails ends the others as ever.
  virtual void set_saving(bool is_saving) = 0;
  // This rank ends because of an error of its own: the others end at once and quote it.
  virtual void announce_failure(const std::string& reason) = 0;
  // The planned end: a barrier, after which nobody counts as absent. No collective may follow.
  virtual void finish() = 0;
  // Seconds the communication thread has spent inside collectives so far.
  virtual double busy_seconds() const = 0;
  // How device memory travels, for the log; empty where there is none.
  virtual std::string description() const { return ""; }
  // Of the collectives that are done; on a device its library's are not in it.
  virtual Traffic traffic() const = 0;
};

// This rank is saving for as long as this lives.
class SavingPhase {
 public:
  explicit SavingPhase(Communicator& communicator) : communicator_(communicator) { communicator_.set_saving(true); }
  ~SavingPhase() { communicator_.set_saving(false); }
  SavingPhase(const SavingPhase&) = delete;
  SavingPhase& operator=(const SavingPhase&) = delete;

 private:
  Communicator& communicator_;
};

// Every rank's value, in rank order.
template <class T>
std::vector<T> gather_values(Communicator& communicator, const T& own, const std::string& what) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto* begin = reinterpret_cast<const std::byte*>(&own);
  std::vector<T> values;
  for (const auto& bytes : communicator.all_gather({begin, begin + sizeof own}, what).get())
    std::memcpy(&values.emplace_back(), bytes.data(), sizeof own);
  return values;
}

}  // namespace rehearse
