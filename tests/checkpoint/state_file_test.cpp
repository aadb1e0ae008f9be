#include "trainer/checkpoint/state_file.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <thread>

#include "trainer/base/random.h"

namespace rehearse {
namespace {

std::map<std::string, StateArray> all_kinds() {
  return {{"u8", StateArray::of<uint8_t>({0, 255})},
          {"u16", StateArray::of<uint16_t>({1, 65535})},
          {"table/u32", StateArray::of<uint32_t>({1, 0xFFFFFFFF})},
          {"table/deep/u64", StateArray::of<uint64_t>({std::numeric_limits<uint64_t>::max()})},
          {"i64", StateArray::of<int64_t>({-1, std::numeric_limits<int64_t>::min()})},
          {"f32", StateArray::of<float>({-0.0f, 1e-40f, std::numeric_limits<float>::infinity()})},
          {"f64", StateArray::of<double>({1.0 / 3, std::numeric_limits<double>::quiet_NaN()})},
          {"empty", StateArray::of<float>({})}};
}

TEST(StateFile, EveryTypeComesBackBitForBit) {
  const auto arrays = all_kinds();
  const auto back = from_hdf5(to_hdf5(arrays), "state.h5");
  ASSERT_EQ(back.size(), arrays.size());
  for (const auto& [name, array] : arrays) {
    ASSERT_TRUE(back.contains(name)) << name;
    EXPECT_EQ(back.at(name).type, array.type) << name;
    EXPECT_EQ(back.at(name).bytes, array.bytes) << name;
  }
}

TEST(StateFile, NoArraysAreAFileToo) {
  EXPECT_TRUE(from_hdf5(to_hdf5({}), "state.h5").empty());
}

TEST(StateFile, EqualArraysGiveEqualBytesAtAnyHour) {
  const auto before = to_hdf5(all_kinds());
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5's times are whole seconds
  EXPECT_EQ(before, to_hdf5(all_kinds()));
}

TEST(StateFile, ABigTableComesBack) {
  std::vector<float> values(300000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.5f;
  EXPECT_EQ(from_hdf5(to_hdf5({{"cer", StateArray::of(values)}}), "state.h5").at("cer").to<float>("cer"), values);
}

TEST(StateFile, GarbageIsADataErrorThatNamesTheFile) {
  const uint64_t seed = 20;
  RecordProperty("seed", std::to_string(seed));
  const RandomKey key = RandomKey(seed);
  for (size_t size : {0, 1, 8, 512, 5000}) {
    std::vector<std::byte> garbage(size);
    for (size_t i = 0; i < size; ++i) garbage[i] = static_cast<std::byte>(key.bits(i));
    try {
      from_hdf5(garbage, "runs/x/curriculum.h5");
      FAIL() << size << " bytes of garbage were read, seed " << seed;
    } catch (const DataError& failure) {
      EXPECT_NE(std::string(failure.what()).find("runs/x/curriculum.h5"), std::string::npos) << failure.what();
    }
  }
}

TEST(StateFile, ACutFileIsADataError) {
  const std::vector<std::byte> whole = to_hdf5(all_kinds());
  for (size_t size = 1; size < whole.size(); size += whole.size() / 16 + 1)
    EXPECT_THROW(from_hdf5({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)}, "state.h5"), DataError)
        << size << " of " << whole.size();
}

TEST(State, AnotherElementTypeIsADataError) {
  State state;
  state.arrays["visits"] = StateArray::of<uint32_t>({1, 2});
  EXPECT_THROW(state.array<float>("visits"), DataError);
  EXPECT_THROW(state.array<float>("absent"), DataError);
}

}  // namespace
}  // namespace rehearse
