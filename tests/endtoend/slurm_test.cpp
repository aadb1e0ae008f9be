// A Slurm of one machine: sbatch, Slurm's stop signal, the job back in the queue, the resume; and srun --mpi=pmix.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/data/text/text_support.h"
#include "tests/endtoend/unbroken.h"

namespace rehearse {
namespace {

constexpr int kNotHere = 77;

TEST(Slurm, AJobStoppedBySlurmIsRequeuedAndEndsLikeTheUnbrokenRun) {
  const TemporaryFolder folder("slurm");
  const std::string scripts = REHEARSE_SOURCE_DIR "/tests/launch/", run = (folder.path() / "run").string();
  const ProcessResult result =
      run_process({scripts + "one_node_slurm.sh", scripts + "slurm_job.sh", REHEARSE_BINARY,
                   (tiny_folder() / "config.yaml").string(), run, (folder.path() / "log").string()},
                  {.timeout_s = 280});
  if (result.exit_code == kNotHere) {
    std::cout << result.err;
    GTEST_SKIP() << result.err;
  }
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_same_as_unbroken(run);
  expect_same_as_unbroken(run + "-srun");
}

}  // namespace
}  // namespace rehearse
