// DeviceCommunicator in the world that mpirun made, over a device library made of MPI and ordinary memory.
#include "trainer/comm/device_communicator.h"

#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdlib>
#include <cstring>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

World& world() {
  static World instance;
  return instance;
}

// "Device memory" is one array. A collective is done at the third poll.
class FakeCollectives : public DeviceCollectives {
 public:
  struct Facts {
    bool can_share = false;
    bool is_one_device = false;
    bool is_broken = false;
    std::string log;  // what was called, in order
  };
  FakeCollectives(std::span<float> memory, Facts& facts) : memory_(memory), facts_(facts) {}

  std::string library() const override { return "fake"; }
  bool can_share_device() const override { return facts_.can_share; }
  std::string device_id() const override { return facts_.is_one_device ? "0" : std::to_string(world().rank()); }
  bool is_device_memory(const void* address) const override {
    return address >= memory_.data() && address < memory_.data() + memory_.size();
  }
  Mark mark() override { return std::make_shared<int>(0); }
  void prepare(bool is_shared) override { facts_.log += is_shared ? "shared " : "alone "; }
  size_t id_bytes() const override { return 4; }
  std::vector<std::byte> new_id() override { return std::vector<std::byte>(4, std::byte{7}); }
  void connect(int, int, std::span<const std::byte> id) override {
    facts_.log += id[3] == std::byte{7} ? "connect " : "stranger ";
    polls_ = 0;
  }
  void all_reduce_sum(void* values, size_t count, Element, const Mark& after) override {
    REHEARSE_CHECK(after, "a collective waits for the caller's work");
    facts_.log += "reduce ";
    polls_ = 0;
    MPI_Allreduce(MPI_IN_PLACE, values, static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  }
  void all_gather_slices(float* values, const std::vector<size_t>& bounds, const Mark&) override {
    facts_.log += "gather ";
    polls_ = 0;
    for (size_t rank = 0; rank + 1 < bounds.size(); ++rank)
      MPI_Bcast(values + bounds[rank], static_cast<int>(bounds[rank + 1] - bounds[rank]), MPI_FLOAT,
                static_cast<int>(rank), MPI_COMM_WORLD);
  }
  bool poll() override {
    if (facts_.is_broken) throw CommError("the library broke");
    return ++polls_ == 3;
  }
  void abort() override { facts_.log += "abort "; }
  void close() override { facts_.log += "close "; }
  std::span<std::byte> copy_out(const void* values, size_t bytes, const Mark&) override {
    facts_.log += "out ";
    staging_.resize(bytes);
    std::memcpy(staging_.data(), values, bytes);
    return staging_;
  }
  void copy_in(void* values, std::span<const std::byte> bytes) override {
    facts_.log += "in ";
    std::memcpy(values, bytes.data(), bytes.size());
  }

 private:
  std::span<float> memory_;
  Facts& facts_;
  int polls_ = 0;
  std::vector<std::byte> staging_;
};

CommOptions options() {
  CommOptions comm;
  comm.timeout_s = 30;
  comm.on_failure = [](const std::string&) { std::_Exit(kExitComm); };
  return comm;
}

// Sums device memory and host memory in turn; returns what the library was asked for.
std::string log_of(FakeCollectives::Facts facts) {
  std::vector<float> memory = {1, static_cast<float>(world().rank())};
  std::vector<float> host = {10};
  const int size = world().size();
  {
    DeviceCommunicator communicator(world(), options(), std::make_unique<FakeCollectives>(memory, facts));
    auto on_device = communicator.all_reduce_sum(std::span(memory), "device");
    auto on_host = communicator.all_reduce_sum(std::span(host), "host");
    on_device.get();
    on_host.get();
    communicator.finish();
  }
  EXPECT_EQ(memory, (std::vector<float>{static_cast<float>(size), static_cast<float>(size * (size - 1)) / 2}));
  EXPECT_EQ(host[0], 10.0f * static_cast<float>(size));
  return facts.log;
}

TEST(DeviceCommunicator, TheWorldHasTwoRanks) {
  EXPECT_EQ(world().size(), 2);
}

TEST(DeviceCommunicator, LeavesDeviceMemoryToTheLibraryAndHostMemoryToMpi) {
  EXPECT_EQ(log_of({.can_share = false, .is_one_device = false}), "alone connect reduce close ");
}

TEST(DeviceCommunicator, SharesOneDeviceWhereTheLibraryCan) {
  EXPECT_EQ(log_of({.can_share = true, .is_one_device = true}), "shared connect reduce close ");
}

TEST(DeviceCommunicator, GoesThroughTheHostWhereTheLibraryCannotShare) {
  EXPECT_EQ(log_of({.can_share = false, .is_one_device = true}), "out in close ");
}

TEST(DeviceCommunicator, AfterAFailureNothingQueuedIsTried) {
  FakeCollectives::Facts facts;
  std::vector<float> memory = {1, 2};
  std::vector<float> host = {10};
  {
    DeviceCommunicator communicator(world(), options(), std::make_unique<FakeCollectives>(memory, facts));
    facts.is_broken = true;  // after it has connected
    auto on_device = communicator.all_reduce_sum(std::span(memory), "device");
    auto on_host = communicator.all_reduce_sum(std::span(host), "host");
    for (auto* one : {&on_device, &on_host}) {
      try {
        one->get();
        ADD_FAILURE() << "expected the library's failure";
      } catch (const CommError& failure) {
        EXPECT_STREQ(failure.what(), "the library broke");
      }
    }
  }
  EXPECT_EQ(host[0], 10) << "MPI was not asked";
  EXPECT_EQ(facts.log, "alone connect reduce abort ");
}

class EndOfTheWorld : public testing::Environment {
  void TearDown() override { world().finish(); }
};
[[maybe_unused]] const auto* const kEnd = testing::AddGlobalTestEnvironment(new EndOfTheWorld);

}  // namespace
}  // namespace rehearse
