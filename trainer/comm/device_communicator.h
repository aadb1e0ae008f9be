// Device memory is reduced by the device's own library, host memory by MPI, all of it in the order of the calls.
#pragma once

#include <atomic>

#include "trainer/comm/device_collectives.h"
#include "trainer/comm/mpi_communicator.h"

namespace rehearse {

// Device collectives take their turn on MPI's communication thread, so one watchdog sees everything and every rank has
// one order. The futures are done when the device is. Where two ranks have the same device and the library refuses
// that, values travel through host memory and MPI.
class DeviceCommunicator : public MpiCommunicator {
 public:
  // Connects; every rank constructs at the same time.
  DeviceCommunicator(const World& world, const CommOptions& options, std::unique_ptr<DeviceCollectives> collectives);

  std::future<void> all_reduce_sum(std::span<float> values, const std::string& what) override;
  std::future<void> all_reduce_sum(std::span<double> values, const std::string& what) override;
  std::future<void> all_reduce_sum(std::span<Bfloat16> values, const std::string& what) override;
  std::future<void> all_gather_slices(std::span<float> values, std::vector<size_t> bounds,
                                      const std::string& what) override;
  void finish() override;

  std::string description() const;  // "NCCL 2.28.9", and whether it is used

 private:
  // Shared with the watchdog's thread, which may fire before and after this object's own members live.
  struct Abort {
    std::atomic<bool> is_asked = false;
    std::atomic<bool> is_done = false;
    std::atomic<bool> is_inside = false;  // a device collective is running
  };
  DeviceCommunicator(const World& world, const CommOptions& options, std::unique_ptr<DeviceCollectives> collectives,
                     std::shared_ptr<Abort> abort);
  static CommOptions with_abort(CommOptions options, const std::shared_ptr<Abort>& abort);
  void connect();
  bool is_device_shared();
  template <class T>
  std::future<void> reduce(std::span<T> values, DeviceCollectives::Element element, const std::string& what);
  void wait_for_device();

  std::unique_ptr<DeviceCollectives> collectives_;
  std::shared_ptr<Abort> abort_;
  bool is_staged_ = false;
};

}  // namespace rehearse
