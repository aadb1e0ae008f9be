// DeviceCommunicator in the world that mpirun made, over a device library made of MPI and ordinary memory.
#include "trainer/comm/device_communicator.h"

#include <gtest/gtest.h>
#include <mpi.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

World& world() {
  static World instance;
  return instance;
}

// "Device memory" is one array. The stream is a list: what was started is done when `num_done` says so.
class FakeCollectives : public DeviceCollectives {
 public:
  struct Facts {
    bool can_share = false;
    bool is_one_device = false;
    std::atomic<bool> is_broken = false;
    std::atomic<bool> is_stuck = false;  // the device reaches nothing any more
    std::atomic<int> num_started = 0;
    std::mutex mutex;
    std::string log;  // what was called, in order

    void note(const std::string& word) {
      const std::lock_guard lock(mutex);
      log += word + " ";
    }
  };
  FakeCollectives(std::span<float> memory, Facts& facts) : memory_(memory), facts_(facts) {}

  std::string library() const override { return "fake"; }
  bool can_share_device() const override { return facts_.can_share; }
  std::string device_id() const override { return facts_.is_one_device ? "0" : std::to_string(world().rank()); }
  Mark mark() override { return std::make_shared<int>(0); }
  Mark last() override { return std::make_shared<int>(facts_.num_started.load()); }
  void wait(const Mark& mark) override { facts_.note(concat("behind-", *static_cast<int*>(mark.get()))); }
  bool is_reached(const Mark&) override { return !facts_.is_stuck; }
  void prepare(bool is_shared) override { facts_.note(is_shared ? "shared" : "alone"); }
  size_t id_bytes() const override { return 4; }
  std::vector<std::byte> new_id() override { return std::vector<std::byte>(4, std::byte{7}); }
  void connect(int, int, std::span<const std::byte> id) override {
    facts_.note(id[3] == std::byte{7} ? "connect" : "stranger");
    polls_ = 0;
  }
  void all_reduce_sum(DeviceSpan values, const Mark& after) override {
    REHEARSE_CHECK(after && values.values == memory_.data(), "a collective waits for the caller's work");
    begin("reduce");
    MPI_Allreduce(MPI_IN_PLACE, values.values, static_cast<int>(values.count),
                  values.element == DeviceSpan::Element::kDouble ? MPI_DOUBLE : MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  }
  void reduce_slices(DeviceSpan values, const std::vector<size_t>& bounds, const Mark&) override {
    begin("scatter");
    for (size_t rank = 0; rank + 1 < bounds.size(); ++rank) {
      float* slice = static_cast<float*>(values.values) + bounds[rank];
      const bool is_own = static_cast<int>(rank) == world().rank();
      MPI_Reduce(is_own ? MPI_IN_PLACE : slice, slice, static_cast<int>(bounds[rank + 1] - bounds[rank]), MPI_FLOAT,
                 MPI_SUM, static_cast<int>(rank), MPI_COMM_WORLD);
    }
  }
  void all_gather_slices(DeviceSpan values, const std::vector<size_t>& bounds, const Mark&) override {
    begin("gather");
    for (size_t rank = 0; rank + 1 < bounds.size(); ++rank)
      MPI_Bcast(static_cast<float*>(values.values) + bounds[rank], static_cast<int>(bounds[rank + 1] - bounds[rank]),
                MPI_FLOAT, static_cast<int>(rank), MPI_COMM_WORLD);
  }
  bool poll() override {
    if (facts_.is_broken) throw CommError("the library broke");
    return ++polls_ == 3;
  }
  void abort() override {
    facts_.note("abort");
    facts_.is_stuck = false;
  }
  void close() override { facts_.note("close"); }
  std::span<std::byte> copy_out(const void* values, size_t bytes, const Mark&) override {
    facts_.note("out");
    staging_.resize(bytes);
    std::memcpy(staging_.data(), values, bytes);
    return staging_;
  }
  void copy_in(void* values, std::span<const std::byte> bytes) override {
    facts_.note("in");
    std::memcpy(values, bytes.data(), bytes.size());
  }

 private:
  void begin(const std::string& what) {
    facts_.note(what);
    ++facts_.num_started;
    polls_ = 0;
  }
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

DeviceSpan on_device(std::span<float> memory) {
  return {memory.data(), memory.size(), DeviceSpan::Element::kFloat};
}

// Sums device memory and host memory in turn; returns what the library was asked for.
std::string log_of(bool can_share, bool is_one_device) {
  FakeCollectives::Facts facts;
  facts.can_share = can_share;
  facts.is_one_device = is_one_device;
  std::vector<float> memory = {1, static_cast<float>(world().rank())};
  std::vector<float> host = {10};
  const int size = world().size();
  {
    DeviceCommunicator communicator(world(), options(), std::make_unique<FakeCollectives>(memory, facts), true);
    auto device_done = communicator.all_reduce_sum(on_device(memory), "device");
    auto host_done = communicator.all_reduce_sum(std::span(host), "host");
    device_done.get();
    host_done.get();
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
  EXPECT_EQ(log_of(false, false), "alone connect reduce behind-1 close ");
}

TEST(DeviceCommunicator, SharesOneDeviceWhereTheLibraryCan) {
  EXPECT_EQ(log_of(true, true), "shared connect reduce behind-1 close ");
}

TEST(DeviceCommunicator, GoesThroughTheHostWhereTheLibraryCannotShare) {
  EXPECT_EQ(log_of(false, true), "out in close ");
}

TEST(DeviceCommunicator, RanksShareADeviceOnlyWhenAsked) {
  FakeCollectives::Facts facts;
  facts.is_one_device = true;
  std::vector<float> memory = {1};
  try {
    DeviceCommunicator communicator(world(), options(), std::make_unique<FakeCollectives>(memory, facts), false);
    ADD_FAILURE() << "expected a refusal";
  } catch (const ConfigError& failure) {
    EXPECT_NE(std::string(failure.what()).find("comm.share_device"), std::string::npos) << failure.what();
  }
}

// Three sums are on the device before it has finished the first; the caller's own stream waits for each when it asks.
TEST(DeviceCommunicator, NoCollectiveWaitsForTheHostToHaveSeenTheOneBefore) {
  FakeCollectives::Facts facts;
  std::vector<float> memory = {1};
  {
    DeviceCommunicator communicator(world(), options(), std::make_unique<FakeCollectives>(memory, facts), true);
    facts.is_stuck = true;
    std::vector<std::future<void>> all;
    for (int i = 0; i < 3; ++i) all.push_back(communicator.all_reduce_sum(on_device(memory), "device"));
    for (std::future<void>& one : all) one.get();
    EXPECT_EQ(facts.num_started, 3);
    facts.is_stuck = false;
    communicator.finish();
  }
  for (const char* one : {"behind-1 ", "behind-2 ", "behind-3 "})
    EXPECT_NE(facts.log.find(one), std::string::npos) << facts.log;
  EXPECT_EQ(memory[0], 8);
}

TEST(DeviceCommunicator, GathersSlicesOnTheDeviceAndThroughTheHost) {
  for (const bool is_staged : {false, true}) {
    FakeCollectives::Facts facts;
    facts.is_one_device = is_staged;
    const auto own = static_cast<float>(world().rank() + 1);
    std::vector<float> memory = {own, own, own};
    {
      DeviceCommunicator communicator(world(), options(), std::make_unique<FakeCollectives>(memory, facts), true);
      communicator.all_gather_slices(on_device(memory), {0, 1, 3}, "slices").get();
      communicator.finish();
    }
    EXPECT_EQ(memory, (std::vector<float>{1, 2, 2})) << (is_staged ? "through the host" : "on the device");
  }
}

TEST(DeviceCommunicator, ReducesSlicesOnTheDeviceAndThroughTheHost) {
  for (const bool is_staged : {false, true}) {
    FakeCollectives::Facts facts;
    facts.is_one_device = is_staged;
    const auto own = static_cast<float>(world().rank() + 1);
    std::vector<float> memory = {own, own, own};
    {
      DeviceCommunicator communicator(world(), options(), std::make_unique<FakeCollectives>(memory, facts), true);
      communicator.reduce_slices(on_device(memory), {0, 1, 3}, "slices").get();
      communicator.finish();
    }
    const auto slice = world().rank() == 0 ? std::vector<size_t>{0} : std::vector<size_t>{1, 2};
    for (const size_t i : slice) EXPECT_EQ(memory[i], 3) << (is_staged ? "through the host" : "on the device");
  }
}

// The watchdog's last word comes when the device has been freed: a kernel that waits for a lost peer would never end.
TEST(DeviceCommunicator, ACollectiveThatNeverEndsIsTakenOffTheDeviceBeforeTheProcessEnds) {
  FakeCollectives::Facts facts;
  std::vector<float> memory = {1};
  std::promise<std::string> message;
  CommOptions short_patience = options();
  short_patience.timeout_s = 0.5;
  short_patience.on_failure = [&](const std::string& text) { message.set_value(facts.log + text); };
  DeviceCommunicator communicator(world(), short_patience, std::make_unique<FakeCollectives>(memory, facts), true);
  facts.is_stuck = true;
  communicator.all_reduce_sum(on_device(memory), "device").get();
  const std::string last = message.get_future().get();
  EXPECT_NE(last.find("reduce behind-1 abort "), std::string::npos) << last;
  EXPECT_NE(last.find("absent after 0.5 s"), std::string::npos) << last;
  EXPECT_THROW(communicator.all_reduce_sum(on_device(memory), "device").get(), CommError);
}

TEST(DeviceCommunicator, AfterAFailureNothingQueuedIsTried) {
  FakeCollectives::Facts facts;
  std::vector<float> memory = {1, 2};
  std::vector<float> host = {10};
  {
    DeviceCommunicator communicator(world(), options(), std::make_unique<FakeCollectives>(memory, facts), true);
    facts.is_broken = true;  // after it has connected
    auto device_done = communicator.all_reduce_sum(on_device(memory), "device");
    auto host_done = communicator.all_reduce_sum(std::span(host), "host");
    for (auto* one : {&device_done, &host_done}) {
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
