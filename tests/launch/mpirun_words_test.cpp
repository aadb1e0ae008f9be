// launch/run.sh with a stand-in for mpirun that writes what OpenMPI 4.1 writes: what the user reads, and the exit code.
#include <gmock/gmock.h>

#include "tests/launch/launch_run.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LaunchWords : public LaunchRun {
 protected:
  void SetUp() override {
    LaunchRun::SetUp();
    for (const char* name : {"SLURM_TASKS_PER_NODE", "SLURM_NTASKS"}) unsetenv(name);
  }
  // mpirun writes `before`, a page between its rules and `after`, and ends with `code`.
  void mpirun_writes(const std::string& page, int code, const std::string& before = "", const std::string& after = "") {
    const std::string rule(74, '-');
    std::ofstream(folder_ + "/words") << before << rule << "\n" << page << "\n" << rule << "\n" << after;
    stand_in("cat " + folder_ + "/words >&2\nexit " + std::to_string(code) + "\n");
  }
  int run_two(const std::vector<std::string>& options = {}) {
    std::vector<std::string> line = {"-n", "2", "--binary", "/bin/true"};
    line.insert(line.end(), options.begin(), options.end());
    line.insert(line.end(), {"--", "train", "a.yaml"});
    return run(line);
  }
};

TEST_F(LaunchWords, WhatMpirunAddsToAFailureThatARankHasExplainedIsLeftOut) {
  mpirun_writes(
      "Primary job  terminated normally, but 1 process returned\n"
      "a non-zero exit code. Per user-direction, the job has been aborted.",
      3, "rehearse: rank 0: train.jsonl:7: duration: expected > 0; found -1\n",
      "[node1:77] 1 more process has sent help message help-x.txt / y\n"
      "[node1:77] Set MCA parameter \"orte_base_help_aggregate\" to 0 to see all help / error messages\n");
  EXPECT_EQ(run_two(), 3);
  EXPECT_EQ(output(), "rehearse: rank 0: train.jsonl:7: duration: expected > 0; found -1\n");
}

TEST_F(LaunchWords, AKilledRankIsNamedInOneLine) {
  mpirun_writes("mpirun noticed that process rank 1 with PID 0 on node node2 exited on signal 9 (Killed).", 137);
  EXPECT_EQ(run_two(), 137);
  EXPECT_EQ(output(), "run: rank 1 on node2 was ended by signal 9 (Killed)\n");
}

struct Page {
  const char* name;
  const char* text;
  int mpirun_code;
  int code;
  const char* said;
};

class LaunchPage : public LaunchWords, public ::testing::WithParamInterface<Page> {};

TEST_P(LaunchPage, BecomesOneLineAndACode) {
  mpirun_writes(GetParam().text, GetParam().mpirun_code);
  EXPECT_EQ(run_two(), GetParam().code);
  EXPECT_THAT(output(), HasSubstr(GetParam().said));
  EXPECT_THAT(output(), Not(HasSubstr("----")));
  const std::string said = output();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}
INSTANTIATE_TEST_SUITE_P(
    Of41, LaunchPage,
    ::testing::Values(
        Page{"slots",
             "There are not enough slots available in the system to satisfy the 2\nslots that were requested by the "
             "application:\n\n  /bin/true\n\nEither request fewer slots",
             1, 2, "-n 2: expected at most as many ranks as there are slots"},
        Page{"program",
             "mpirun was unable to launch the specified application as it could not access\nor execute an "
             "executable:\n\nExecutable: /opt/rehearse\nNode: node2\n\nwhile attempting to start process rank 0.",
             132, 2, "run: /opt/rehearse: expected the program on every host; found none on node2"},
        Page{"binding",
             "While computing bindings, we found no available cpus on\nthe following node:\n\n  Node:  node2\n\n"
             "Please check your allocation.",
             1, 2, "--bind auto: expected cores to bind each rank to; found too few on node2"},
        Page{"overload",
             "A request was made to bind to that would result in binding more\nprocesses than cpus on a resource:\n\n"
             "   Bind to:     CORE\n   Node:        node2\n   #processes:  2\n   #cpus:       1",
             1, 2, "use --bind none"},
        Page{"version",
             "Open MPI detected a mismatch in versions between two processes.  This\ntypically means\n\n"
             "  Local host:             node1\n  Local process version:  4.1.4\n  Peer host:              node2\n"
             "  Peer process version:   4.1.6",
             1, 2, "found 4.1.4 here and 4.1.6 on node2"},
        Page{"daemon", "ORTE was unable to reliably start one or more daemons.\nThis usually is caused by:\n\n* not", 1,
             4, "run: expected mpirun's daemon (orted) on every host"},
        Page{"lost",
             "ORTE has lost communication with a remote daemon.\n\n  HNP daemon   : [[1,0],0] on node node1\n"
             "  Remote daemon: [[1,0],1] on node node2",
             205, 4, "node2"},
        Page{"unknown", "Something that nobody\nhas seen yet.", 1, 1,
             "run: mpirun: Something that nobody has seen yet."}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(LaunchWords, LinesOfRanksPassAsTheyAre) {
  stand_in("printf '  a  \\\\n b\\n\\n%s\\nno page\\n' " + std::string(74, '-') + " >&2\nprintf 'the end' >&2\n");
  EXPECT_EQ(run_two(), 0);
  EXPECT_EQ(output(), "  a  \\n b\n\n" + std::string(74, '-') + "\nno page\nthe end");
}

TEST_F(LaunchWords, MoreRanksThanTheSlotsOfHostsAreRefusedBeforeMpirun) {
  stand_in("echo started\n");
  EXPECT_EQ(run_two({"--hosts", "localhost"}), 2);
  EXPECT_EQ(output(), "run: -n 2: expected at most the 1 slot(s) of --hosts localhost; write localhost:2\n");
  EXPECT_EQ(run_two({"--hosts", "a:x,b"}), 2);
  EXPECT_THAT(output(), HasSubstr("--hosts: expected HOST:SLOTS with slots from 1 on; found 'a:x'"));
  EXPECT_EQ(run_two({"--hosts", "localhost,127.0.0.1"}), 0) << "a slot each";
  EXPECT_THAT(output(), HasSubstr("started"));
}

TEST_F(LaunchWords, SlotsOfAHostFileCountWhereItGivesThem) {
  stand_in("echo started\n");
  std::ofstream(folder_ + "/one") << "# hosts\nlocalhost slots = 1\n";
  EXPECT_EQ(run_two({"--hostfile", folder_ + "/one"}), 2);
  EXPECT_THAT(output(), HasSubstr("expected at most the 1 slot(s) of --hostfile"));
  std::ofstream(folder_ + "/open") << "localhost\n";
  EXPECT_EQ(run_two({"--hostfile", folder_ + "/open"}), 0) << "mpirun takes its cores";
}

TEST_F(LaunchWords, MoreRanksThanTheTasksOfASlurmJobAreRefused) {
  stand_in("echo started\n");
  setenv("SLURM_JOB_ID", "17", 1);
  setenv("SLURM_TASKS_PER_NODE", "1", 1);
  EXPECT_EQ(run_two(), 2);
  EXPECT_EQ(output(), "run: -n 2: expected at most the 1 task(s) of Slurm job 17; ask Slurm for --ntasks=2\n");
  setenv("SLURM_TASKS_PER_NODE", "4(x3),2", 1);
  EXPECT_EQ(run({"-n", "14", "--binary", "/bin/true", "--", "train"}), 0);
  EXPECT_EQ(run({"-n", "15", "--binary", "/bin/true", "--", "train"}), 2);
  unsetenv("SLURM_TASKS_PER_NODE");
  unsetenv("SLURM_JOB_ID");
}

TEST_F(LaunchWords, AnEqualShareOfCoresIsBoundWhereItDividesEvenly) {
  stand_in("for c in 0 1 2 3; do echo $c,$c,0; done\n", "lscpu");
  stand_in("echo \"pid 1's current affinity list: 0-3\"\n", "taskset");
  EXPECT_EQ(run({"-n", "2", "--dry-run", "--", "train"}), 0);
  EXPECT_THAT(output(), AllOf(HasSubstr("--map-by slot:PE=2 --bind-to core"), Not(HasSubstr("--oversubscribe"))));
  EXPECT_EQ(run({"-n", "3", "--dry-run", "--", "train"}), 0);
  EXPECT_THAT(output(), HasSubstr("-n 3 "));
  EXPECT_THAT(output(), HasSubstr("--bind-to none"));
}

TEST_F(LaunchWords, ACpusetOfOneCoreIsNotDivided) {
  stand_in("for c in 0 1 2 3; do echo $c,$c,0; done\n", "lscpu");
  stand_in("echo \"pid 1's current affinity list: 2\"\n", "taskset");
  EXPECT_EQ(run({"-n", "2", "--dry-run", "--", "train"}), 0);
  EXPECT_THAT(output(), AllOf(HasSubstr("--oversubscribe"), HasSubstr("--bind-to none"), Not(HasSubstr("PE="))));
}

TEST_F(LaunchWords, TheProgramHearsOfTheHostTimeoutOnSeveralHosts) {
  EXPECT_EQ(run({"-n", "2", "--hosts", "a,b", "--host-timeout", "7", "--dry-run", "--", "train"}), 0);
  EXPECT_THAT(output(), HasSubstr("-x REHEARSE_HOST_TIMEOUT_S"));
}

}  // namespace
}  // namespace rehearse
