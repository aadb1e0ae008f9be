// The binary with device: cuda against the same run on the CPU.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/gpu/gpu_here.h"
#include "tests/support/process.h"
#include "tests/support/toy_run.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

// A run of some steps of the toy configuration.
struct ShortRun {
  fs::path folder;
  ProcessResult result;
  std::vector<double> losses;

  ShortRun(const std::string& name, int ranks, std::vector<std::string> more)
      : folder(fs::path(testing::TempDir()) / ("rehearse_gpu_" + name)) {
    fs::remove_all(folder);
    std::vector<std::string> arguments = {"train", (toy_folder() / "config.yaml").string(), "--set",
                                          "run.folder=" + folder.string()};
    for (const char* one : {"log.every_steps=1", "checkpoint.every_minutes=0"}) {
      arguments.push_back("--set");
      arguments.push_back(one);
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    result = ranks == 1 ? run_rehearse(arguments) : run_rehearse_ranks(ranks, arguments);
    std::ifstream lines(folder / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line);
      if (record.value("kind", "") == "step") losses.push_back(record.at("loss_per_token"));
    }
  }
};

void expect_close(const std::vector<double>& expected, const std::vector<double>& found, double tolerance) {
  ASSERT_GE(found.size(), 10u);
  ASSERT_EQ(expected.size(), found.size());
  for (size_t i = 0; i < 10; ++i) EXPECT_NEAR(found[i], expected[i], tolerance * expected[i]) << "step " << i;
}

const std::vector<std::string> kTwelveSteps = {"--set", "budget.steps=12", "--set", "device=cuda"};

TEST(GpuRun, LosesAsTheCpuDoesOnOneAndTwoRanksAndRepeatsItselfBitForBit) {
  REHEARSE_NEEDS_GPU();
  const ShortRun one("one", 1, kTwelveSteps);
  ASSERT_EQ(one.result.exit_code, 0) << one.result.err;
  const ShortRun cpu("cpu", 1, {"--set", "budget.steps=12"});
  ASSERT_EQ(cpu.result.exit_code, 0) << cpu.result.err;
  const ShortRun again("again", 1, kTwelveSteps);
  std::vector<std::string> shared = kTwelveSteps;  // two ranks on one GPU, should there be no more
  shared.insert(shared.end(), {"--set", "comm.share_device=true"});
  const ShortRun two("two", 2, shared);
  ASSERT_EQ(two.result.exit_code, 0) << two.result.err;
  expect_close(cpu.losses, one.losses, 2e-3);
  expect_close(cpu.losses, two.losses, 2e-3);
  EXPECT_EQ(one.losses, again.losses);
}

TEST(GpuRun, ACheckpointOfTheGpuIsReadByTheCpu) {
  REHEARSE_NEEDS_GPU();
  const ShortRun run("checkpoint", 1, kTwelveSteps);
  ASSERT_EQ(run.result.exit_code, 0) << run.result.err;
  const ProcessResult result =
      run_rehearse({"evaluate", run.folder.string(), "--manifest", (toy_folder() / "valid.jsonl").string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

}  // namespace
}  // namespace rehearse
