// Runs that nobody has to look after: launch/run.sh --restarts, and ranks whose mpirun is gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/data/text/text_support.h"
#include "tests/endtoend/unbroken.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

class Unattended : public ::testing::Test {
 protected:
  Unattended() { tiny_folder(); }
  std::filesystem::path run() const { return folder_.path() / "run"; }

  TemporaryFolder folder_{"unattended"};
};

TEST_F(Unattended, AKilledRankCostsARestartAndNotABit) {
  RunningProcess process(through_launcher(2, tiny_train(run()), {"--restarts", "2", "--pause", "1"}));
  ASSERT_TRUE(wait_for_step(process, run(), 25)) << process.err();
  const auto killed = process_of_rank(process.id(), 1);
  ASSERT_TRUE(killed.has_value());
  ASSERT_EQ(kill(*killed, SIGKILL), 0);
  const ProcessResult result = process.wait(90);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("restart 1 of 2"));
  EXPECT_THAT(result.err, HasSubstr("resumed from"));
  EXPECT_EQ(result.err.find("restart 2 of 2"), std::string::npos) << result.err;
  expect_same_as_unbroken(run());
}

TEST_F(Unattended, ARunThatStartsFromAnotherRestartsFromItsOwnCheckpoint) {
  const std::string init = (tiny_folder() / "unbroken").string();
  RunningProcess process(through_launcher(2, tiny_train(run(), {"--init", init}), {"--restarts", "1", "--pause", "1"}));
  ASSERT_TRUE(wait_for_step(process, run(), 15)) << process.err();
  const auto killed = process_of_rank(process.id(), 0);
  ASSERT_TRUE(killed.has_value());
  ASSERT_EQ(kill(*killed, SIGKILL), 0);
  const ProcessResult result = process.wait(90);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("resumed from " + (run() / "checkpoints/step-00000010").string()));
}

// At whatever moment of their start: before they ask to die with it, while they look for it, and after.
TEST_F(Unattended, RanksDoNotOutliveMpirun) {
  for (int delay_ms : {0, 5, 20, 60, 150, 400, 1500}) {
    SCOPED_TRACE(delay_ms);
    RunningProcess process(rehearse_ranks_line(2, tiny_train(run() / std::to_string(delay_ms))));
    std::optional<pid_t> ranks[2];
    ASSERT_TRUE(wait_until(20, [&] {
      for (int rank : {0, 1}) ranks[rank] = process_of_rank(process.id(), rank);
      return ranks[0] && ranks[1];
    }));
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
    ASSERT_EQ(kill(process.id(), SIGKILL), 0);
    for (const auto& rank : ranks)
      EXPECT_TRUE(wait_until(5, [&] { return kill(*rank, 0) != 0; })) << "process " << *rank << " is still there";
    for (const auto& rank : ranks) kill(*rank, SIGKILL);
  }
}

// It cannot hear of the end of mpirun by itself.
TEST_F(Unattended, AStoppedRankDoesNotOutliveMpirunEither) {
  RunningProcess process(rehearse_ranks_line(2, tiny_train(run())));
  ASSERT_TRUE(wait_for_step(process, run(), 5)) << process.err();
  const auto rank = process_of_rank(process.id(), 1);
  ASSERT_TRUE(rank.has_value());
  ASSERT_EQ(kill(*rank, SIGSTOP), 0);
  ASSERT_EQ(kill(process.id(), SIGKILL), 0);
  EXPECT_TRUE(wait_until(3, [&] { return kill(*rank, 0) != 0; }));
  kill(*rank, SIGKILL);
}

}  // namespace
}  // namespace rehearse
