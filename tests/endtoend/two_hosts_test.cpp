// Two ranks on two hosts with a wire between them: what is lost, who says so, and that nothing stays behind.
#include "tests/support/two_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>

#include "tests/data/text/text_support.h"
#include "tests/endtoend/unbroken.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Clock = std::chrono::steady_clock;

constexpr double kTimeout_s = 5;  // comm.timeout_s of the tiny run

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class TwoHostsRun : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string refusal = TwoHosts::refusal();
    if (!refusal.empty()) GTEST_SKIP() << "NOT RUN, two hosts on one machine: " << refusal;
    tiny_folder();
    hosts_ = std::make_unique<TwoHosts>(folder_.path());
  }
  std::filesystem::path run() const { return folder_.path() / "run"; }

  std::vector<std::string> line(const std::vector<std::string>& more = {},
                                std::vector<std::string> options = {}) const {
    options.insert(options.end(),
                   {"--hosts", TwoHosts::address(1) + ":1," + TwoHosts::address(2) + ":1", "--host-timeout", "4"});
    return hosts_->on_first(through_launcher(2, tiny_train(run(), more), options));
  }
  void start(const std::vector<std::string>& options = {}) {
    process_ = std::make_unique<RunningProcess>(line({}, options), hosts_->options());
    ASSERT_TRUE(wait_for_step(*process_, run(), 25)) << process_->err();
    ASSERT_EQ(hosts_->processes(1, "rehearse").size(), 1u);
    ASSERT_EQ(hosts_->processes(2, "rehearse").size(), 1u);
  }
  void kill_one(int host, const std::string& name) {
    const auto found = hosts_->processes(host, name);
    ASSERT_EQ(found.size(), 1u) << name;
    ASSERT_EQ(kill(found[0], SIGKILL), 0);
  }
  bool is_idle(int host) const { return hosts_->processes(host).empty(); }
  // Until no process is on either host.
  void expect_all_over(Clock::time_point since, double limit_s) {
    EXPECT_TRUE(wait_until(limit_s - seconds_since(since), [&] { return is_idle(1) && is_idle(2); }))
        << hosts_->processes(1).size() << " and " << hosts_->processes(2).size() << " processes are left";
    RecordProperty("seconds", std::to_string(seconds_since(since)));
    RecordProperty("left", std::to_string(hosts_->processes(1).size() + hosts_->processes(2).size()));
  }
  void expect_resume_equals_unbroken() {
    const ProcessResult resumed = run_process(line({"--resume", "auto"}), hosts_->options());
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("resumed from"));
    expect_same_as_unbroken(run());
    if (!HasFailure()) RecordProperty("resumed", "equal");
  }
  // For tests/faults/run.sh, which makes a row of its table of each test that ends a run.
  void record(const ProcessResult& result) {
    RecordProperty("exit", std::to_string(result.exit_code));
    for (const std::string& line : complaints(result.err))
      if (line.find("rank 0 of 2") != std::string::npos) RecordProperty("message", line);
  }
  // These hosts are namespaces of one machine: its processes are seen to end, those of another one fall silent.
  static auto names_rank_1() {
    return ::testing::AnyOf(HasSubstr("rank 1 is gone (host-2, process "), HasSubstr("rank 1 (host-2, process "));
  }
  // Rank 0 says that rank 1 is not there, and the launcher that a peer failed.
  void expect_peer_failure(const ProcessResult& result) {
    record(result);
    EXPECT_EQ(result.exit_code, 4) << result.err;
    EXPECT_THAT(complaints(result.err), Contains(AllOf(HasSubstr("rank 0 of 2: step "), names_rank_1()))) << result.err;
  }

  TemporaryFolder folder_{"two_hosts"};
  std::unique_ptr<TwoHosts> hosts_;
  std::unique_ptr<RunningProcess> process_;
};

TEST_F(TwoHostsRun, TrainToTheSameBitsAsOneHost) {
  const ProcessResult result = run_process(line(), hosts_->options());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_same_as_unbroken(run());
  EXPECT_THAT(hosts_->processes(1), IsEmpty());
  EXPECT_THAT(hosts_->processes(2), IsEmpty());
}

TEST_F(TwoHostsRun, MpirunHasToMissALostHostBeforeRanksMissEachOther) {
  const ProcessResult result = run_process(line({"--set", "comm.timeout_s=4"}), hosts_->options());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(
      complaints(result.err),
      Contains(HasSubstr("comm.timeout_s: expected more than the 4 s of launch/run.sh --host-timeout; found 4")));
}

TEST_F(TwoHostsRun, ACutWireEndsBothSidesAndTheRunResumesToTheSameBits) {
  start();
  const auto cut = Clock::now();
  hosts_->cut_wire();
  expect_all_over(cut, kTimeout_s + 10);
  expect_peer_failure(process_->wait(1));
  hosts_->mend_wire();
  expect_resume_equals_unbroken();
}

TEST_F(TwoHostsRun, AKilledDaemonTakesItsRankWithItAndTheRunResumesToTheSameBits) {
  start();
  const auto killed = Clock::now();
  kill_one(2, "orted");
  EXPECT_TRUE(wait_until(3, [&] { return hosts_->processes(2, "rehearse").empty(); }));
  expect_all_over(killed, kTimeout_s + 10);
  expect_peer_failure(process_->wait(1));
  expect_resume_equals_unbroken();
}

TEST_F(TwoHostsRun, AKilledMpirunLeavesNoRankOnEitherHost) {
  start();
  const auto killed = Clock::now();
  kill_one(1, "mpirun");
  EXPECT_TRUE(wait_until(
      10, [&] { return hosts_->processes(1, "rehearse").empty() && hosts_->processes(2, "rehearse").empty(); }));
  expect_all_over(killed, kTimeout_s + 10);
  expect_resume_equals_unbroken();
}

TEST_F(TwoHostsRun, AKilledRankEndsTheOtherHostsToo) {
  start();
  const auto killed = Clock::now();
  kill_one(2, "rehearse");
  EXPECT_TRUE(wait_until(10, [&] { return hosts_->processes(1, "rehearse").empty(); }));
  EXPECT_LE(seconds_since(killed), 10);
  const ProcessResult result = process_->wait(20);
  record(result);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(complaints(result.err), Contains(names_rank_1())) << result.err;
  expect_all_over(killed, 25);
  expect_resume_equals_unbroken();
}

TEST_F(TwoHostsRun, AStopSignalReachesBothHostsAndTheRunResumesToTheSameBits) {
  start();
  ASSERT_EQ(kill(process_->id(), SIGTERM), 0);
  const ProcessResult result = process_->wait(60);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, HasSubstr("stopped by a signal at step"));
  expect_resume_equals_unbroken();
}

TEST_F(TwoHostsRun, ALostHostIsLeftOutOfTheRestart) {
  start({"--restarts", "1", "--pause", "0"});
  const auto cut = Clock::now();
  hosts_->cut_wire();
  const ProcessResult result = process_->wait(90);
  record(result);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_all_over(cut, 90);
  RecordProperty("resumed", "on one rank, to the end");
  EXPECT_THAT(result.err, HasSubstr("run: no answer within 4 s from 10.77.0.2\n"));
  EXPECT_THAT(result.err, HasSubstr("run: 1 rank(s) instead of 2, on 10.77.0.1:1\n"));
  EXPECT_THAT(result.err, HasSubstr("resumed with other ranks: expected 2, found 1"));
  EXPECT_EQ(final_checkpoint(run()).step, static_cast<uint64_t>(kTinySteps));
}

}  // namespace
}  // namespace rehearse
