// Device memory is reduced by the device's own library, host memory by MPI, all of it in the order of the calls.
#pragma once

#include <atomic>

#include "trainer/comm/device_collectives.h"
#include "trainer/comm/mpi_communicator.h"

namespace rehearse {

// Device collectives are started in their turn on MPI's communication thread, one behind the other on the library's own
// stream, so every rank has one order and one watchdog sees everything; no collective waits for the host to have seen
// the one before. Where two ranks have the same device and the library refuses that, values travel through host memory
// and MPI.
class DeviceCommunicator : public Communicator {
 public:
  // Connects; every rank constructs at the same time. ConfigError where ranks share a device and `may_share` is false.
  DeviceCommunicator(const World& world, const CommOptions& options, std::unique_ptr<DeviceCollectives> collectives,
                     bool may_share);

  int rank() const override { return mpi_.rank(); }
  int size() const override { return mpi_.size(); }
  std::future<void> all_reduce_sum(std::span<float> values, const std::string& what) override;
  std::future<void> all_reduce_sum(std::span<double> values, const std::string& what) override;
  std::future<void> all_reduce_sum(std::span<Bfloat16> values, const std::string& what) override;
  std::future<void> all_reduce_sum(DeviceSpan values, const std::string& what) override;
  std::future<void> reduce_slices(std::span<float> values, std::vector<size_t> bounds,
                                  const std::string& what) override;
  std::future<void> reduce_slices(std::span<Bfloat16> values, std::vector<size_t> bounds,
                                  const std::string& what) override;
  std::future<void> reduce_slices(DeviceSpan values, std::vector<size_t> bounds, const std::string& what) override;
  std::future<void> all_gather_slices(std::span<float> values, std::vector<size_t> bounds,
                                      const std::string& what) override;
  std::future<void> all_gather_slices(DeviceSpan values, std::vector<size_t> bounds, const std::string& what) override;
  std::future<std::vector<std::vector<std::byte>>> all_gather(std::vector<std::byte> bytes,
                                                              const std::string& what) override;
  void broadcast(std::span<std::byte> bytes, int root, const std::string& what) override;
  void barrier(const std::string& what) override;
  void set_step(uint64_t step) override { mpi_.set_step(step); }
  void set_saving(bool is_saving) override { mpi_.set_saving(is_saving); }
  void announce_failure(const std::string& reason) override { mpi_.announce_failure(reason); }
  void finish() override;
  double busy_seconds() const override { return mpi_.busy_seconds(); }
  Traffic traffic() const override { return mpi_.traffic(); }

  // "NCCL 2.28.9 on the devices", or why sums travel through the host.
  std::string description() const override;

 private:
  using Mark = DeviceCollectives::Mark;
  // Shared with the watchdog's thread, which may fire before and after this object's own members live.
  struct Abort {
    std::atomic<bool> is_asked = false;
    std::atomic<bool> is_done = false;
    std::atomic<bool> is_inside = false;  // a device collective is running
  };
  DeviceCommunicator(const World& world, const CommOptions& options, std::unique_ptr<DeviceCollectives> collectives,
                     bool may_share, std::shared_ptr<Abort> abort);
  static CommOptions with_abort(CommOptions options, const std::shared_ptr<Abort>& abort);
  void connect(bool may_share);
  bool is_device_shared();
  std::future<void> start(const std::string& what, size_t bytes, std::function<void()> begin);
  std::future<void> stage(DeviceSpan values, const std::string& what, std::function<void(std::span<std::byte>)> work);
  void wait_until_through();
  bool is_reached(const Mark& mark);
  void give_up_if_asked();

  std::unique_ptr<DeviceCollectives> collectives_;
  std::shared_ptr<Abort> abort_;
  bool is_staged_ = false;
  MpiCommunicator mpi_;  // last: its thread uses the others
};

}  // namespace rehearse
