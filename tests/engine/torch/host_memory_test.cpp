#include "trainer/device/host_memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace rehearse {
namespace {

class HostMemoryOfTensors : public testing::Test {
 protected:
  void SetUp() override { keep_host_memory(); }
};

TEST_F(HostMemoryOfTensors, IsGivenAgainToTensorsOfAboutTheSameSize) {
  const void* first = nullptr;
  {
    const at::Tensor x = at::empty({1000, 33}, at::kFloat);
    first = x.const_data_ptr();
  }
  const HostMemoryCount before = host_memory_count();
  const at::Tensor y = at::empty({1000, 36}, at::kFloat);
  EXPECT_EQ(y.const_data_ptr(), first);
  EXPECT_EQ(host_memory_count().from_system, before.from_system);
  EXPECT_EQ(host_memory_count().reused, before.reused + 1);
}

TEST_F(HostMemoryOfTensors, IsAlignedAndNeverSharedByTwo) {
  std::vector<at::Tensor> all;
  for (int64_t size = 1; size < 20000; size += size / 3 + 1) {
    all.push_back(at::full({size}, static_cast<double>(size), at::kFloat));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(all.back().const_data_ptr()) % 64, 0u);
  }
  for (const at::Tensor& x : all) EXPECT_TRUE(x.eq(static_cast<double>(x.numel())).all().item<bool>()) << x.numel();
  EXPECT_EQ(at::empty({0}, at::kFloat).numel(), 0);
}

TEST_F(HostMemoryOfTensors, GoesBackFromAnyThread) {
  const HostMemoryCount before = host_memory_count();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([i] {
      for (int round = 0; round < 200; ++round) {
        at::Tensor x = at::full({64 + i}, i, at::kLong);
        std::jthread([x = std::move(x), i]() mutable { EXPECT_EQ(x.sum().item<int64_t>(), int64_t{64 + i} * i); });
      }
    });
  threads.clear();
  EXPECT_LE(host_memory_count().from_system, before.from_system + 100) << "of 1,600 tensors at least";
}

// Each size asks for as much as all before it held, so what waits soon exceeds what was ever needed at one time.
TEST_F(HostMemoryOfTensors, IsBounded) {
  for (int64_t megabytes = 40; megabytes < 600; megabytes += 40) at::empty({megabytes << 20}, at::kByte);
  EXPECT_LT(host_memory_count().held_bytes, size_t{2} << 30);
}

}  // namespace
}  // namespace rehearse
