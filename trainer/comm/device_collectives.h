// Collectives that a device library runs (NCCL, in the CUDA plug-in), as DeviceCommunicator uses them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/comm/world.h"

namespace rehearse {

// Nothing here waits for peers: connect() and the collectives start something on the library's own stream; poll() says
// when the call is through, is_reached() when the device is. mark() and wait() may be called from any thread,
// everything else from the communication thread only. Failures are CommErrors, after which only abort() may follow.
class DeviceCollectives {
 public:
  // A place in a stream of work on the device.
  using Mark = std::shared_ptr<void>;

  virtual ~DeviceCollectives() = default;
  virtual std::string library() const = 0;  // "NCCL 2.28.9"
  // True when the library lets several ranks share one device.
  virtual bool can_share_device() const = 0;
  virtual std::string device_id() const = 0;  // unique over hosts

  virtual Mark mark() = 0;                        // behind everything that the calling thread has enqueued so far
  virtual void wait(const Mark& mark) = 0;        // what the calling thread enqueues from now on comes behind the mark
  virtual Mark last() = 0;                        // behind everything that was started here
  virtual bool is_reached(const Mark& mark) = 0;  // of last()

  virtual void prepare(bool is_shared) = 0;  // first of all; is_shared: several ranks have this device
  virtual size_t id_bytes() const = 0;
  virtual std::vector<std::byte> new_id() = 0;  // rank 0 makes it, all ranks connect with it
  virtual void connect(int rank, int size, std::span<const std::byte> id) = 0;
  // In place, once `after` is reached.
  virtual void all_reduce_sum(DeviceSpan values, const Mark& after) = 0;
  // In place, once `after` is reached, of float or bfloat16; see Communicator::reduce_slices.
  virtual void reduce_slices(DeviceSpan values, const std::vector<size_t>& bounds, const Mark& after) = 0;
  // In place, once `after` is reached; see Communicator::all_gather_slices.
  virtual void all_gather_slices(DeviceSpan values, const std::vector<size_t>& bounds, const Mark& after) = 0;
  virtual bool poll() = 0;   // true: the last call is through, and another may follow
  virtual void abort() = 0;  // ends running collectives on this rank
  virtual void close() = 0;  // the planned end

  // For ranks that cannot use the library: a copy in page-locked memory once `after` is reached, valid until the next
  // call; and back again. Both wait for the copy.
  virtual std::span<std::byte> copy_out(const void* values, size_t bytes, const Mark& after) = 0;
  virtual void copy_in(void* values, std::span<const std::byte> bytes) = 0;
};

// A DeviceCommunicator over them; every rank calls at the same time. Throws what its constructor throws.
std::unique_ptr<Communicator> connect_devices(const World& world, const CommOptions& options,
                                              std::unique_ptr<DeviceCollectives> collectives);

}  // namespace rehearse
