#include "models/kernels/device_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

#include "trainer/base/error.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

struct TwiceOnDevice {
  static constexpr const char* kName = "twice";
  using Signature = int(int value);
};
struct MissingOnDevice {
  static constexpr const char* kName = "missing";
  using Signature = void();
};

int twice(int value) {
  return 2 * value;
}

DeviceEntry entry(const char* name) {
  return {name, reinterpret_cast<void (*)()>(twice)};
}

TEST(DeviceTable, HandsOutAFunctionByItsNameWithItsType) {
  const std::vector<DeviceEntry> entries = {entry("twice"), entry("another")};
  const DeviceTable table(entries);
  EXPECT_EQ(table.get<TwiceOnDevice>()(21), 42);
  EXPECT_THAT(table.names(), testing::ElementsAre("another", "twice"));
}

TEST(DeviceTable, WhatIsAbsentOrThereTwiceIsAnErrorThatNamesIt) {
  const std::vector<DeviceEntry> one = {entry("twice")}, two = {entry("twice"), entry("twice")};
  try {
    DeviceTable(one).get<MissingOnDevice>();
    FAIL() << "nothing thrown";
  } catch (const std::exception& failure) {
    EXPECT_THAT(failure.what(), testing::HasSubstr("has the function missing"));
  }
  try {
    DeviceTable table(two);
    FAIL() << "nothing thrown";
  } catch (const std::exception& failure) {
    EXPECT_THAT(failure.what(), testing::HasSubstr("found two of twice"));
  }
}

// Headers that say what crosses the border between the binary and the plug-in, without comments and spaces.
std::string border() {
  std::vector<fs::path> headers;
  for (const char* folder : {"models/kernels", "trainer/engine/update/optimizers", "trainer/device"})
    for (const auto& file : fs::directory_iterator(fs::path(REHEARSE_SOURCE_DIR) / folder)) {
      static const std::regex kHeader(R"((device_(table|pieces|frames|depthwise|ctc|memory|plugin)|.*_device)\.h)");
      if (std::regex_match(file.path().filename().string(), kHeader)) headers.push_back(file.path());
    }
  std::sort(headers.begin(), headers.end());
  std::string text;
  for (const fs::path& header : headers) text += read_text(header);
  return std::regex_replace(text, std::regex(R"(//[^\n]*|\s+)"), "");
}

TEST(DeviceAbi, HasANewNumberWhenWhatCrossesTheBorderChanges) {
  const std::string text = border();
  EXPECT_EQ(sha256_of(std::as_bytes(std::span(text))),
            "bddd7cea72c464c1fe36dd1cd9f2e32615869dd480e5d37bb7eef5beb4c32e22")
      << "raise kDeviceAbi (models/kernels/device_table.h) and write the new digest here";
}

}  // namespace
}  // namespace rehearse
