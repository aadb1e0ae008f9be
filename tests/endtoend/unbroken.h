// Runs of the tiny configuration through the launcher, held against the one that nobody disturbed.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/support/tiny_run.h"
#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {

// `launch/run.sh -n RANKS OPTIONS -- ARGUMENTS` with the binary of this build.
inline std::vector<std::string> through_launcher(int ranks, const std::vector<std::string>& arguments,
                                                 const std::vector<std::string>& options = {}) {
  std::vector<std::string> line = {std::string(REHEARSE_SOURCE_DIR) + "/launch/run.sh", "-n", std::to_string(ranks),
                                   "--binary", REHEARSE_BINARY};
  line.insert(line.end(), options.begin(), options.end());
  line.push_back("--");
  line.insert(line.end(), arguments.begin(), arguments.end());
  return line;
}

inline LoadedCheckpoint final_checkpoint(const std::filesystem::path& run) {
  return load_checkpoint(list_checkpoints(run / "checkpoints").at(0), true);
}

// Weights, moments, the CER table, plans and observations in flight: all bits.
inline void expect_same_as_unbroken(const std::filesystem::path& run) {
  const LoadedCheckpoint found = final_checkpoint(run), expected = final_checkpoint(tiny_folder() / "unbroken");
  ASSERT_EQ(found.step, static_cast<uint64_t>(kTinySteps));
  for (const auto& [name, tensor] : expected.model) EXPECT_TRUE(found.model.at(name).values == tensor.values) << name;
  for (const auto& [name, tensor] : expected.optimizer)
    EXPECT_TRUE(found.optimizer.at(name).values == tensor.values) << name;
  ASSERT_EQ(found.state.arrays.size(), expected.state.arrays.size());
  for (const auto& [name, array] : expected.state.arrays)
    EXPECT_TRUE(found.state.arrays.at(name).bytes == array.bytes) << name;
  EXPECT_EQ(found.state.values.at("step_source"), expected.state.values.at("step_source"));
}

}  // namespace rehearse
