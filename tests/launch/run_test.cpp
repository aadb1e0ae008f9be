// launch/run.sh with a stand-in for mpirun: the line it builds, and what becomes of signals.
#include <gmock/gmock.h>

#include "tests/launch/launch_run.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(LaunchRun, TheLineHoldsRanksProgramAndArguments) {
  ASSERT_EQ(run({"-n", "3", "--binary", "/bin/true", "--dry-run", "--", "train", "a b.yaml"}), 0);
  EXPECT_THAT(output(), HasSubstr("mpirun -n 3 "));
  EXPECT_THAT(output(), HasSubstr("/bin/true train a\\ b.yaml"));
  EXPECT_EQ(output().find("--allow-run-as-root") != std::string::npos, geteuid() == 0);
}

TEST_F(LaunchRun, MoreRanksThanCoresOversubscribeAndStayUnbound) {
  ASSERT_EQ(run({"-n", "4096", "--dry-run", "--", "train"}), 0);
  EXPECT_THAT(output(), HasSubstr("--oversubscribe"));
  EXPECT_THAT(output(), HasSubstr("--bind-to none"));
}

TEST_F(LaunchRun, OneRankIsNotBoundToOneCore) {
  ASSERT_EQ(run({"-n", "1", "--dry-run", "--", "train"}), 0);
  EXPECT_THAT(output(), HasSubstr("--bind-to none"));
  EXPECT_THAT(output(), Not(HasSubstr("--oversubscribe")));
}

TEST_F(LaunchRun, HostsReachMpirunAndVariablesAreForwarded) {
  setenv("REHEARSE_LAUNCH_TEST", "1", 1);
  ASSERT_EQ(run({"-n", "4", "--hosts", "a:2,b:2", "-x", "MINE=3", "--dry-run", "--", "train"}), 0);
  unsetenv("REHEARSE_LAUNCH_TEST");
  EXPECT_THAT(output(), HasSubstr("--host a:2"));
  EXPECT_THAT(output(), HasSubstr("-x MINE=3"));
  EXPECT_THAT(output(), HasSubstr("-x REHEARSE_LAUNCH_TEST"));
}

TEST_F(LaunchRun, WrongUseExitsWithTwoAndSaysWhatWasExpected) {
  EXPECT_EQ(run({"-n", "two", "--", "train"}), 2);
  EXPECT_THAT(output(), HasSubstr("-n: expected a number of ranks; found 'two'"));
  EXPECT_EQ(run({"-n", "2"}), 2);
  EXPECT_EQ(run({"-n", "2", "train"}), 2);
  EXPECT_EQ(run({"-n", "2", "--bind", "tight", "--", "train"}), 2);
  EXPECT_EQ(run({"-n", "2", "--binary", "/nonexistent/rehearse", "--", "train"}), 2);
}

TEST_F(LaunchRun, TheExitCodeOfTheRanksIsItsOwn) {
  stand_in("cat; exit 4\n");  // cat ends at once: standard input is empty
  EXPECT_EQ(run({"-n", "2", "--binary", "/bin/true", "--", "train"}), 4);
}

class LaunchRunSignal : public LaunchRun, public ::testing::WithParamInterface<int> {};

TEST_P(LaunchRunSignal, ReachesTheRanksAsUsr1AndLeavesTimeToSave) {
  stand_in("trap 'sleep 0.3; echo saved; exit 75' USR1\necho ready\nwhile :; do sleep 0.02; done\n");
  const pid_t child = start({"-n", "2", "--binary", "/bin/true", "--", "train"});
  ASSERT_TRUE(waits_for("ready"));
  kill(child, GetParam());
  EXPECT_EQ(finish(child), 75);
  EXPECT_THAT(output(), HasSubstr("saved"));
}
INSTANTIATE_TEST_SUITE_P(Stop, LaunchRunSignal, ::testing::Values(SIGTERM, SIGUSR1, SIGINT),
                         [](const auto& info) { return std::string(sigabbrev_np(info.param)); });

TEST_F(LaunchRun, ASecondTermEndsRanksThatDoNotStop) {
  stand_in("trap 'echo asked' USR1\ntrap 'echo ended; exit 1' TERM\necho ready\nwhile :; do sleep 0.02; done\n");
  const pid_t child = start({"-n", "2", "--binary", "/bin/true", "--", "train"});
  ASSERT_TRUE(waits_for("ready"));
  kill(child, SIGTERM);
  ASSERT_TRUE(waits_for("asked"));
  kill(child, SIGTERM);
  EXPECT_EQ(finish(child), 1);
  EXPECT_THAT(output(), HasSubstr("ended"));
}

TEST_F(LaunchRun, RanksThatDoNotStopWithinTheGraceTimeAreEnded) {
  stand_in("trap 'echo asked' USR1\ntrap 'echo ended; exit 1' TERM\necho ready\nwhile :; do sleep 0.02; done\n");
  const pid_t child = start({"-n", "2", "--grace", "0", "--binary", "/bin/true", "--", "train"});
  ASSERT_TRUE(waits_for("ready"));
  kill(child, SIGTERM);
  EXPECT_EQ(finish(child), 1);
  EXPECT_THAT(output(), HasSubstr("ended"));
}

TEST_F(LaunchRun, MpirunDoesNotOutliveIt) {
  stand_in("trap 'echo ended; exit 1' TERM\necho ready\nwhile :; do sleep 0.02; done\n");
  const pid_t child = start({"-n", "2", "--binary", "/bin/true", "--", "train"});
  ASSERT_TRUE(waits_for("ready"));
  kill(child, SIGKILL);
  EXPECT_EQ(finish(child), -SIGKILL);
  EXPECT_TRUE(waits_for("ended"));
}

}  // namespace
}  // namespace rehearse
