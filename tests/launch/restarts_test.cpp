// launch/run.sh with stand-ins for mpirun and for ssh: hosts that answer or not, and --restarts.
#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>

#include "tests/launch/launch_run.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class LaunchRestarts : public LaunchRun {
 protected:
  void SetUp() override {
    LaunchRun::SetUp();
    setenv("OMPI_MCA_plm_rsh_agent", (folder_ + "/agent").c_str(), 1);
  }
  void TearDown() override {
    unsetenv("OMPI_MCA_plm_rsh_agent");
    LaunchRun::TearDown();
  }
  // mpirun ends with these codes, one after the other, and says how it was called.
  void mpirun_ends_with(const std::string& codes) {
    stand_in("echo \"mpirun $*\" >>" + folder_ + "/calls\ncodes=(" + codes + ")\nexit ${codes[$(wc -l <" + folder_ +
             "/calls)-1]}\n");
  }
  // Every host answers until the first run has begun, then those for which `body` succeeds.
  void later_answers(const std::string& body) {
    stand_in("[[ -e " + folder_ + "/calls ]] || exit 0\n" + body, "agent");
  }
  // What the program says when it is asked for the run's newest checkpoint, one answer after the other.
  void newest_steps(const std::string& steps) {
    stand_in("[[ \"$*\" == *--newest-step ]] || exit 1\necho >>" + folder_ + "/asked\nsteps=(" + steps +
                 ")\necho ${steps[$(wc -l <" + folder_ + "/asked)-1]}\n",
             "rehearse");
  }
  int run_train(std::vector<std::string> options, std::vector<std::string> more = {}) {
    std::vector<std::string> line = {"-n", "4", "--pause", "0", "--binary", "/bin/true"};
    line.insert(line.end(), options.begin(), options.end());
    line.insert(line.end(), {"--", "train", "a.yaml"});
    line.insert(line.end(), more.begin(), more.end());
    return run(line);
  }
  std::vector<std::string> calls() const {
    std::ifstream in(folder_ + "/calls");
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
};

TEST_F(LaunchRestarts, WithoutTheOptionThereAreNone) {
  mpirun_ends_with("4 0");
  EXPECT_EQ(run_train({}), 4);
  EXPECT_EQ(calls().size(), 1u);
}

TEST_F(LaunchRestarts, AFailedPeerStartsTheRunAgainFromItsNewestCheckpoint) {
  mpirun_ends_with("4 0");
  EXPECT_EQ(run_train({"--restarts", "3"}), 0);
  EXPECT_THAT(calls(), ElementsAre(HasSubstr("train a.yaml"), HasSubstr("train a.yaml --resume auto")));
  EXPECT_THAT(output(), HasSubstr("run: exit code 4; restart 1 of 3 in 0 s: train a.yaml --resume auto\n"));
}

TEST_F(LaunchRestarts, AKilledRankDoesToo) {
  mpirun_ends_with("137 134 0");
  EXPECT_EQ(run_train({"--restarts", "3"}), 0);
  EXPECT_EQ(calls().size(), 3u);
}

TEST_F(LaunchRestarts, ResumeAutoIsAskedForOnceAndInitStays) {
  mpirun_ends_with("4 4 0");
  EXPECT_EQ(run_train({"--restarts", "3"}, {"--init", "runs/b", "--set", "seed=3"}), 0);
  EXPECT_THAT(calls().back(), ::testing::EndsWith("train a.yaml --init runs/b --set seed=3 --resume auto"));
}

TEST_F(LaunchRestarts, TheLastCodeIsTheAnswerWhenTheyAreUsedUp) {
  mpirun_ends_with("4 137 4 0");
  EXPECT_EQ(run_train({"--restarts", "2"}), 4);
  EXPECT_EQ(calls().size(), 3u);
}

// What fails the same way every time, such as a full disk, must not be tried N times.
TEST_F(LaunchRestarts, TwoTriesInARowWithoutANewCheckpointAreTheLast) {
  mpirun_ends_with("4 4 4 4");
  newest_steps("20 20");
  EXPECT_EQ(run_train({"--restarts", "3", "--binary", folder_ + "/rehearse"}), 4);
  EXPECT_EQ(calls().size(), 2u);
  EXPECT_THAT(output(), HasSubstr("no restart: expected a checkpoint later than step 20"));
}

TEST_F(LaunchRestarts, ARunThatAdvancesIsStartedAgainAsOftenAsItMay) {
  mpirun_ends_with("4 137 4 0");
  newest_steps("0 20 40");
  EXPECT_EQ(run_train({"--restarts", "3", "--binary", folder_ + "/rehearse"}), 0);
  EXPECT_EQ(calls().size(), 4u);
}

TEST_F(LaunchRestarts, AHostThatIsLeftOutCountsAsAChange) {
  mpirun_ends_with("4 4 0");
  newest_steps("20 20 20");
  later_answers("[[ $1 != b ]]\n");
  EXPECT_EQ(run_train({"--hosts", "a:2,b:2", "--restarts", "2", "--binary", folder_ + "/rehearse"}), 0);
  EXPECT_EQ(calls().size(), 3u) << "after the first failure b is left out, and the second one begins from there";
}

class LaunchRestartsCode : public LaunchRestarts, public ::testing::WithParamInterface<int> {};

TEST_P(LaunchRestartsCode, EndsTheRunForGood) {
  mpirun_ends_with(std::to_string(GetParam()) + " 0");
  EXPECT_EQ(run_train({"--restarts", "3"}), GetParam());
  EXPECT_EQ(calls().size(), 1u);
}
INSTANTIATE_TEST_SUITE_P(Codes, LaunchRestartsCode, ::testing::Values(0, 1, 2, 3, 75));

TEST_F(LaunchRestarts, ARunThatWasAskedToStopIsNotStartedAgain) {
  stand_in("trap 'exit 4' USR1\necho ready\nwhile :; do sleep 0.02; done\n");
  const pid_t child = start({"-n", "2", "--restarts", "3", "--pause", "0", "--binary", "/bin/true", "--", "train"});
  ASSERT_TRUE(waits_for("ready"));
  kill(child, SIGTERM);
  EXPECT_EQ(finish(child), 4);
  EXPECT_THAT(output(), Not(HasSubstr("restart")));
}

TEST_F(LaunchRestarts, AStopSignalInThePauseEndsItWithTheCodeOfTheRun) {
  mpirun_ends_with("4 0");
  const pid_t child = start({"-n", "2", "--restarts", "3", "--pause", "1", "--binary", "/bin/true", "--", "train"});
  ASSERT_TRUE(waits_for("restart 1 of 3"));
  kill(child, SIGTERM);
  EXPECT_EQ(finish(child), 4);
  EXPECT_EQ(calls().size(), 1u);
}

TEST_F(LaunchRestarts, ASecondRunCanStillBeAskedToSave) {
  stand_in("echo x >>" + folder_ + "/calls\n[[ $(wc -l <" + folder_ +
           "/calls) == 1 ]] && exit 4\ntrap 'echo saved; exit 75' USR1\necho ready\nwhile :; do sleep 0.02; done\n");
  const pid_t child = start({"-n", "2", "--restarts", "3", "--pause", "0", "--binary", "/bin/true", "--", "train"});
  ASSERT_TRUE(waits_for("ready"));
  kill(child, SIGTERM);
  EXPECT_EQ(finish(child), 75);
  EXPECT_THAT(output(), HasSubstr("saved"));
}

TEST_F(LaunchRestarts, AHostThatDoesNotAnswerIsLeftOutWithItsRanks) {
  mpirun_ends_with("4 0");
  later_answers("[[ $1 != b ]]\n");
  EXPECT_EQ(run_train({"--hosts", "a:2,b:1,c:1", "--restarts", "1"}), 0);
  EXPECT_THAT(calls(),
              ElementsAre(HasSubstr("-n 4 "), ::testing::AllOf(HasSubstr("-n 2 "), HasSubstr("--host a:2,c:1"))))
      << "3 ranks would not share micro-batches that 4 share";
  EXPECT_THAT(output(), HasSubstr("run: no answer within 10 s from b\n"));
  EXPECT_THAT(output(), HasSubstr("run: 2 rank(s) instead of 4, on a:2,c:1\n"));
}

TEST_F(LaunchRestarts, AHostThatHangsIsLeftOutAfterTheTimeLimit) {
  mpirun_ends_with("4 0");
  later_answers("[[ $1 == a ]] || exec sleep 60\n");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(run_train({"--hosts", "a:2,b:2", "--restarts", "1", "--host-timeout", "3"}), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_THAT(calls().back(), ::testing::AllOf(HasSubstr("-n 2 "), HasSubstr("--host a:2 ")));
}

TEST_F(LaunchRestarts, HostsThatAnswerStayAsTheyWere) {
  mpirun_ends_with("4 0");
  stand_in("[[ $2 == true ]]\n", "agent");
  EXPECT_EQ(run_train({"--hosts", "a:2,b:2", "--restarts", "1"}), 0);
  EXPECT_THAT(calls().back(), ::testing::AllOf(HasSubstr("-n 4 "), HasSubstr("--host a:2,b:2 ")));
  EXPECT_THAT(output(), Not(HasSubstr("instead of")));
}

TEST_F(LaunchRestarts, AHostFileIsReadTheSameWay) {
  mpirun_ends_with("137 0");
  later_answers("[[ $1 == node1 ]]\n");
  EXPECT_EQ(run_train({"--hostfile", REHEARSE_SOURCE_DIR "/launch/hostfile.example", "--restarts", "1"}), 0);
  EXPECT_THAT(calls().front(), HasSubstr("--hostfile "));
  EXPECT_THAT(calls().back(),
              ::testing::AllOf(HasSubstr("-n 2 "), HasSubstr("--host node1:2 "), Not(HasSubstr("node2"))));
}

TEST_F(LaunchRestarts, ThisHostIsNotAskedAndNotNamedWhenItIsTheOnlyOneLeft) {
  mpirun_ends_with("4 0");
  later_answers("exit 255\n");
  EXPECT_EQ(run_train({"--hosts", "localhost:2,b:2", "--restarts", "1"}), 0);
  EXPECT_THAT(calls().back(), ::testing::AllOf(HasSubstr("-n 2 "), Not(HasSubstr("--host "))));
  EXPECT_THAT(output(), HasSubstr("run: 2 rank(s) instead of 4, on localhost:2\n"));
}

TEST_F(LaunchRestarts, WithNoHostLeftTheRunEnds) {
  mpirun_ends_with("4 0");
  later_answers("exit 255\n");
  EXPECT_EQ(run_train({"--hosts", "a:2,b:2", "--restarts", "1"}), 4);
  EXPECT_THAT(output(), HasSubstr("run: no host is left"));
  EXPECT_EQ(calls().size(), 1u);
}

TEST_F(LaunchRestarts, AHostThatDoesNotAnswerAtTheStartIsNamedAndNothingIsStarted) {
  mpirun_ends_with("0");
  stand_in("[[ $1 == b.invalid ]]\n", "agent");
  const std::vector<std::string> options = {"--hosts", "a.invalid:1,b.invalid:2,c.invalid:1", "--host-timeout", "3"};
  EXPECT_EQ(run_train(options), 4);
  EXPECT_THAT(output(), HasSubstr("found none within 3 s from a.invalid c.invalid; mend what `" + folder_ +
                                  "/agent a.invalid true` says"));
  EXPECT_EQ(run_train({options[0], options[1], options[2], options[3], "--restarts", "3"}), 4);
  EXPECT_TRUE(calls().empty());
}

TEST_F(LaunchRestarts, UnderSlurmNoHostIsAsked) {
  mpirun_ends_with("0");
  stand_in("exit 255\n", "agent");
  setenv("SLURM_JOB_ID", "17", 1);
  EXPECT_EQ(run_train({"--hosts", "a:2,b:2"}), 0);
  unsetenv("SLURM_JOB_ID");
  EXPECT_EQ(calls().size(), 1u);
}

TEST_F(LaunchRestarts, ADaemonThatMpirunCouldNotStartIsAFailedPeer) {
  mpirun_ends_with("255");
  EXPECT_EQ(run_train({}), 4);
}

TEST_F(LaunchRestarts, WrongUseExitsWithTwo) {
  EXPECT_EQ(run({"-n", "2", "--restarts", "often", "--", "train"}), 2);
  EXPECT_EQ(run({"-n", "2", "--pause", "-1", "--", "train"}), 2);
  EXPECT_EQ(run({"-n", "2", "--host-timeout", "2", "--", "train"}), 2);
  EXPECT_EQ(run({"-n", "2", "--restarts", "1", "--", "train", "a.yaml", "--resume", "runs/a/checkpoints/step-5"}), 2);
  EXPECT_THAT(output(), HasSubstr("expected --resume auto or none; found 'runs/a/checkpoints/step-5'"));
}

TEST_F(LaunchRestarts, SeveralHostsMissEachOtherSoonerThanOpenMpiWouldTell) {
  ASSERT_EQ(run({"-n", "4", "--hosts", "a:2,b:2", "--host-timeout", "7", "--dry-run", "--", "train"}), 0);
  EXPECT_THAT(output(), HasSubstr("oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 1 --mca "
                                  "oob_tcp_keepalive_probes 2"));
}

}  // namespace
}  // namespace rehearse
