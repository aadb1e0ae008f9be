// Collectives on device memory in the world that mpirun made; with one rank, too. gpu_nccl_tests is started once per
// world size (tests/CMakeLists.txt).
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <iostream>
#include <thread>

#include "models/kernels/device_memory.h"
#include "tests/gpu/gpu_here.h"
#include "trainer/base/error.h"
#include "trainer/comm/device_communicator.h"
#include "trainer/device/device_plugin.h"

namespace rehearse {
namespace {

// The plug-in of this build and this rank's device.
struct Plugin {
  const DevicePlugin* entry = nullptr;
  DeviceFacts facts;

  explicit Plugin(const World& world) {
    const auto binary = std::filesystem::read_symlink("/proc/self/exe");
    const auto path = binary.parent_path().parent_path() / "lib" / "librehearse_cuda.so";
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) throw CommError(path.string(), ": expected to load it; found ", dlerror());
    entry = reinterpret_cast<DevicePluginEntry>(dlsym(library, kDevicePluginEntry))();
    facts = entry->open(world.local_rank());
  }
};

World& world() {
  static World instance;
  return instance;
}
const Plugin& plugin() {
  static const Plugin instance(world());
  return instance;
}

CommOptions options() {
  CommOptions comm;
  comm.timeout_s = 60;
  comm.on_failure = [](const std::string& message) {
    std::cerr << message << std::endl;
    std::_Exit(kExitComm);
  };
  return comm;
}

TEST(NcclWorld, TheWorldHasTheSizeThatTheTestWasStartedFor) {
  const char* expected = std::getenv("REHEARSE_TEST_RANKS");
  ASSERT_NE(expected, nullptr) << "started by hand? set REHEARSE_TEST_RANKS";
  EXPECT_EQ(world().size(), std::atoi(expected));
}

// Floats on the device, freed at the end.
class DeviceFloats {
 public:
  explicit DeviceFloats(const std::vector<float>& values)
      : count_(values.size()), memory_(call<AllocateOnDevice>()(static_cast<int64_t>(count_))) {
    call<UploadOnDevice>()(memory_, values.data(), static_cast<int64_t>(count_));
  }
  ~DeviceFloats() { call<ReleaseOnDevice>()(memory_); }
  DeviceFloats(const DeviceFloats&) = delete;
  DeviceFloats& operator=(const DeviceFloats&) = delete;

  DeviceSpan span(size_t first, size_t count) const { return {memory_ + first, count, DeviceSpan::Element::kFloat}; }
  // The same bytes as numbers of another type.
  DeviceSpan as(DeviceSpan::Element element) const {
    const size_t bytes = element == DeviceSpan::Element::kDouble ? 8 : 2;
    return {memory_, count_ * sizeof(float) / bytes, element};
  }
  std::vector<float> read() const {
    std::vector<float> values(count_);
    call<DownloadOnDevice>()(values.data(), memory_, static_cast<int64_t>(count_));
    return values;
  }

 private:
  template <class Function>
  static typename Function::Signature* call() {
    static const DeviceTable table(plugin().entry->functions);
    return table.get<Function>();
  }
  size_t count_;
  float* memory_;
};

// The values of another type in floats' memory, and back.
template <class T>
std::vector<float> packed(const std::vector<T>& values) {
  std::vector<float> floats(values.size() * sizeof(T) / sizeof(float));
  std::memcpy(floats.data(), values.data(), floats.size() * sizeof(float));
  return floats;
}
template <class T>
std::vector<T> unpacked(const std::vector<float>& floats) {
  std::vector<T> values(floats.size() * sizeof(float) / sizeof(T));
  std::memcpy(values.data(), floats.data(), floats.size() * sizeof(float));
  return values;
}

class Nccl : public testing::Test {
 protected:
  void SetUp() override { REHEARSE_NEEDS_GPU(); }
  // Ranks of one GPU share it.
  static std::unique_ptr<DeviceCommunicator> connect(const CommOptions& comm) {
    return std::make_unique<DeviceCommunicator>(world(), comm, plugin().entry->collectives(plugin().facts.index), true);
  }
  static inline const int size = world().size(), rank = world().rank();
};

// Rank r holds r + 1 + i in element i: the sum is known.
TEST_F(Nccl, SumsDeviceAndHostMemoryInOneOrder) {
  constexpr size_t kCount = 300'000;
  const auto communicator = connect(options());
  if (rank == 0)
    std::cout << plugin().facts.name << ", " << plugin().facts.libraries << "; " << communicator->description() << "\n";
  std::vector<float> values(kCount);
  for (size_t i = 0; i < kCount; ++i) values[i] = static_cast<float>(rank + 1 + static_cast<int>(i % 1000));
  const DeviceFloats memory(values);
  std::vector<double> on_host = {1.0, static_cast<double>(rank)};
  std::vector<std::future<void>> all;
  all.push_back(communicator->all_reduce_sum(memory.span(0, kCount / 2), "first half"));
  all.push_back(communicator->all_reduce_sum(std::span(on_host), "host values"));
  all.push_back(communicator->all_reduce_sum(memory.span(kCount / 2, kCount - kCount / 2), "second half"));
  for (std::future<void>& one : all) one.get();
  values = memory.read();
  for (size_t i = 0; i < kCount; ++i)
    ASSERT_EQ(values[i],
              static_cast<float>(size * (size + 1)) / 2 + static_cast<float>(size * static_cast<int>(i % 1000)))
        << i;
  EXPECT_EQ(on_host[0], size);
  EXPECT_EQ(on_host[1], size * (size - 1) / 2);
  communicator->finish();
}

TEST_F(Nccl, SumsDoubleAndBfloat16) {
  const auto communicator = connect(options());
  const DeviceFloats doubles(packed(std::vector<double>(1000, 1.0 + 1e-12 * rank)));
  const DeviceFloats halves(packed(std::vector<uint16_t>(1000, 0x3F80)));  // 1 as bfloat16
  communicator->all_reduce_sum(doubles.as(DeviceSpan::Element::kDouble), "doubles").get();
  communicator->all_reduce_sum(halves.as(DeviceSpan::Element::kBfloat16), "halves").get();
  for (const double value : unpacked<double>(doubles.read()))
    ASSERT_NEAR(value, size + 1e-12 * size * (size - 1) / 2, 1e-15 * size);
  const auto expected = static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(size)) >> 16);
  for (const uint16_t value : unpacked<uint16_t>(halves.read())) ASSERT_EQ(value, expected);
  communicator->finish();
}

TEST_F(Nccl, GathersSlicesOfDifferentLengths) {
  const auto communicator = connect(options());
  std::vector<size_t> bounds = {0};
  for (int r = 0; r < size; ++r) bounds.push_back(bounds.back() + 1000 * static_cast<size_t>(r) + 7);
  const DeviceFloats memory(std::vector<float>(bounds.back(), static_cast<float>(rank + 1)));
  communicator->all_gather_slices(memory.span(0, bounds.back()), bounds, "slices").get();
  const std::vector<float> values = memory.read();
  for (int r = 0; r < size; ++r)
    for (size_t i = bounds[static_cast<size_t>(r)]; i < bounds[static_cast<size_t>(r) + 1]; ++i)
      ASSERT_EQ(values[i], static_cast<float>(r + 1)) << i;
  communicator->finish();
}

// Last of all, since the communicator is not usable afterwards: rank 1 never comes to the second sum.
TEST_F(Nccl, TakesACollectiveThatWaitsForAnAbsentRankOffTheDevice) {
  if (size < 2) GTEST_SKIP() << "a world of one waits for nobody";
  std::promise<std::string> message;
  CommOptions short_patience = options();
  short_patience.timeout_s = 2;
  short_patience.on_failure = [&](const std::string& text) { message.set_value(text); };
  const auto communicator = connect(short_patience);
  if (communicator->description().find("is not used") != std::string::npos) {
    communicator->finish();  // a sum that MPI still expects would keep the world from ending
    GTEST_SKIP() << "NOT RUN: " << communicator->description();
  }
  const DeviceFloats memory({1, 2, 3});
  communicator->all_reduce_sum(memory.span(0, 3), "both come").get();
  EXPECT_EQ(memory.read()[2], 3.0f * static_cast<float>(size));
  if (rank == 0) {
    communicator->all_reduce_sum(memory.span(0, 3), "one comes").get();
    EXPECT_NE(message.get_future().get().find("absent after 2 s"), std::string::npos);
    memory.read();  // returns: nothing waits on the device any more
  } else {
    std::this_thread::sleep_for(std::chrono::seconds(4));
  }
}

class EndOfTheWorld : public testing::Environment {
  void TearDown() override { world().finish(); }
};
[[maybe_unused]] const auto* const kEnd = testing::AddGlobalTestEnvironment(new EndOfTheWorld);

}  // namespace
}  // namespace rehearse
