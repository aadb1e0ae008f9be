// Files for configurations, and the message of the ConfigError that an action throws.
#pragma once

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "trainer/base/config/config.h"
#include "trainer/base/error.h"

namespace rehearse {

inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& failure) {
    EXPECT_EQ(failure.exit_code(), 2);
    return failure.what();
  }
  ADD_FAILURE() << "expected a ConfigError";
  return "";
}

class ConfigFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("rehearse_config_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) {
    const auto path = folder_ / name;
    std::ofstream(path) << text;
    return path.string();
  }
  std::filesystem::path folder_;
};

}  // namespace rehearse
