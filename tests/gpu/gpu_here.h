// Whether there is a GPU to test: where there is one, whatever fails with it has failed and is not "not run".
#pragma once

#include <filesystem>
#include <string>

namespace rehearse {

// A GPU's device node, as the driver makes it (also under WSL).
inline bool has_gpu() {
  std::error_code ignored;
  if (std::filesystem::exists("/dev/dxg", ignored)) return true;
  for (int i = 0; i < 16; ++i)
    if (std::filesystem::exists("/dev/nvidia" + std::to_string(i), ignored)) return true;
  return false;
}

}  // namespace rehearse

// First line of a test or of its SetUp().
#define REHEARSE_NEEDS_GPU() \
  if (!::rehearse::has_gpu()) GTEST_SKIP() << "NOT RUN: no GPU here (/dev/nvidia0)"
