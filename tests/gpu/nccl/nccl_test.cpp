// Collectives on device memory in the world that mpirun made; with one rank, too. gpu_nccl_tests is started once per
// world size (tests/CMakeLists.txt).
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/comm/device_communicator.h"
#include "trainer/engine/device_plugin.h"

namespace rehearse {
namespace {

// The plug-in of this build and this rank's device, or why there is none.
struct Plugin {
  const DevicePlugin* entry = nullptr;
  DeviceFacts facts;
  std::string reason;

  explicit Plugin(const World& world) {
    const auto binary = std::filesystem::read_symlink("/proc/self/exe");
    const auto path = binary.parent_path().parent_path() / "lib" / "librehearse_cuda.so";
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
      reason = dlerror();
      return;
    }
    try {
      entry = reinterpret_cast<DevicePluginEntry>(dlsym(library, kDevicePluginEntry))();
      facts = entry->open(world.local_rank());
    } catch (const Error& failure) {
      reason = failure.what();
    }
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

TEST(Nccl, TheWorldHasTheSizeThatTheTestWasStartedFor) {
  const char* expected = std::getenv("REHEARSE_TEST_RANKS");
  ASSERT_NE(expected, nullptr) << "started by hand? set REHEARSE_TEST_RANKS";
  EXPECT_EQ(world().size(), std::atoi(expected));
}

// Rank r holds r + 1 + i in element i: the sum is known.
TEST(Nccl, SumsDeviceAndHostMemoryInOneOrder) {
  if (!plugin().reason.empty()) {
    world().finish();
    GTEST_SKIP() << "NOT RUN: " << plugin().reason;
  }
  constexpr size_t kCount = 300'000;
  const DeviceKernels& kernels = *plugin().entry->kernels;
  DeviceCommunicator communicator(world(), options(), plugin().entry->collectives(plugin().facts.index));
  if (world().rank() == 0)
    std::cout << plugin().facts.name << ", " << plugin().facts.libraries << "; " << communicator.description() << "\n";
  std::vector<float> values(kCount);
  for (size_t i = 0; i < kCount; ++i) values[i] = static_cast<float>(world().rank() + 1 + static_cast<int>(i % 1000));
  float* memory = kernels.allocate(kCount);
  kernels.upload(memory, values.data(), kCount);
  std::vector<double> on_host = {1.0, static_cast<double>(world().rank())};
  auto first = communicator.all_reduce_sum(std::span(memory, kCount / 2), "first half");
  auto host = communicator.all_reduce_sum(std::span(on_host), "host values");
  auto second = communicator.all_reduce_sum(std::span(memory + kCount / 2, kCount - kCount / 2), "second half");
  first.get();
  host.get();
  second.get();
  kernels.download(values.data(), memory, kCount);
  kernels.release(memory);
  const int size = world().size();
  for (size_t i = 0; i < kCount; ++i)
    ASSERT_EQ(values[i], static_cast<float>(size * (size + 1) / 2 + size * static_cast<int>(i % 1000))) << i;
  EXPECT_EQ(on_host[0], size);
  EXPECT_EQ(on_host[1], size * (size - 1) / 2);
  communicator.finish();
  world().finish();
}

}  // namespace
}  // namespace rehearse
