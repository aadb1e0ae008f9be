// Several watchdogs with different ranks in one process, over loopback.
#include "trainer/comm/watchdog.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include "trainer/comm/udp_socket.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The number of a process that was there a moment ago.
pid_t ended_process() {
  std::string name = "true";
  char* arguments[] = {name.data(), nullptr};
  pid_t process = 0;
  EXPECT_EQ(posix_spawnp(&process, "true", nullptr, nullptr, arguments, nullptr), 0);
  EXPECT_EQ(waitpid(process, nullptr, 0), process);
  return process;
}

// The first message of a watchdog.
class Verdict {
 public:
  void give(const std::string& message) {
    const std::lock_guard lock(mutex_);
    if (!message_) message_ = message;
    changed_.notify_all();
  }
  // Empty when none came in time.
  std::string wait(double seconds) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return message_.has_value(); });
    return message_.value_or("");
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::string> message_;
};

class WatchdogTest : public ::testing::Test {
 protected:
  struct Rank {
    Verdict verdict;
    std::unique_ptr<Watchdog> dog;
  };
  void build(int size, double timeout_s, const std::atomic<bool>* stop = nullptr) {
    for (int rank = 0; rank < size; ++rank) {
      auto one = std::make_unique<Rank>();
      Watchdog::Options options;
      options.rank = rank;
      options.size = size;
      options.timeout_s = timeout_s;
      options.term_grace_s = 0.3;
      options.stop_requested = stop;
      options.on_failure = [verdict = &one->verdict](const std::string& message) { verdict->give(message); };
      one->dog = std::make_unique<Watchdog>(options, true);
      ranks_.push_back(std::move(one));
    }
    for (const auto& one : ranks_) addresses_.push_back(one->dog->address());
  }
  void start_all() {
    for (const auto& one : ranks_) one->dog->start(addresses_, kJob);
  }
  Watchdog& dog(size_t rank) { return *ranks_[rank]->dog; }
  std::string verdict(size_t rank, double seconds) { return ranks_[rank]->verdict.wait(seconds); }

  static constexpr uint64_t kJob = 77;
  std::vector<std::unique_ptr<Rank>> ranks_;  // the dogs end before their verdicts
  std::vector<std::string> addresses_;
};

TEST_F(WatchdogTest, NamesTheRankThatIsNotInTheCollective) {
  build(3, 0.5);
  start_all();
  dog(1).set_step(41);
  dog(0).set_step(42);
  for (size_t rank : {0u, 2u}) dog(rank).enter("all_reduce (bucket 1 of 3, 1.0 MiB)");
  const std::string message = verdict(0, 3);
  EXPECT_THAT(message,
              AllOf(HasSubstr("rank 0 of 3: step 42"), HasSubstr("all_reduce (bucket 1 of 3, 1.0 MiB)"),
                    HasSubstr("rank 1 ("), HasSubstr("step 41, alive but not there"), HasSubstr("comm.timeout_s")));
  EXPECT_THAT(message, Not(HasSubstr("2 (")));
}

TEST_F(WatchdogTest, NamesTheRankThatHasGoneSilent) {
  build(2, 2.2);
  dog(0).start(addresses_, kJob);  // rank 1 never speaks
  dog(0).enter("barrier (checkpoint)");
  EXPECT_THAT(verdict(0, 5), AllOf(HasSubstr("rank 1 ("), HasSubstr("silent"), HasSubstr("barrier (checkpoint)")));
}

TEST_F(WatchdogTest, ADeadProcessIsNoticedWithoutWaitingForATimeout) {
  const pid_t process = ended_process();
  build(2, 300);
  std::istringstream in(addresses_[1]);
  std::string host, old_process, rest;
  in >> host >> old_process;
  std::getline(in, rest);
  addresses_[1] = host + " " + std::to_string(process) + rest;
  dog(0).start(addresses_, kJob);
  EXPECT_THAT(verdict(0, 2), AllOf(HasSubstr("rank 1 is gone"), HasSubstr(std::to_string(process))));
}

TEST_F(WatchdogTest, AFailureIsQuotedByTheOthers) {
  build(3, 300);
  start_all();
  dog(2).announce_failure("train.jsonl:7: duration: expected > 0; found -1");
  for (size_t rank : {0u, 1u})
    EXPECT_THAT(verdict(rank, 2),
                AllOf(HasSubstr("rank 2 failed"), HasSubstr("train.jsonl:7: duration: expected > 0")));
  EXPECT_EQ(verdict(2, 0.2), "") << "the failed rank tells its own story";
}

// Ranks that find the same mistake in a configuration must not quote each other.
TEST_F(WatchdogTest, AFailureIsQuotedOnlyAfterAMoment) {
  build(2, 300);
  start_all();
  const auto start = std::chrono::steady_clock::now();
  dog(1).announce_failure("the same mistake");
  EXPECT_THAT(verdict(0, 3), HasSubstr("the same mistake"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(450));
}

TEST_F(WatchdogTest, ARankThatFailedItselfQuotesNobody) {
  build(2, 300);
  start_all();
  dog(1).announce_failure("the same mistake");
  dog(0).announce_failure("the same mistake");
  EXPECT_EQ(verdict(0, 0.9), "");
}

TEST_F(WatchdogTest, AVeryLongReasonIsCutNotOverrun) {
  build(2, 300);
  start_all();
  dog(1).announce_failure(std::string(5000, 'x'));
  EXPECT_THAT(verdict(0, 2), HasSubstr("xxxx"));
}

TEST_F(WatchdogTest, AfterTheEndNobodyIsAbsent) {
  build(2, 0.3);
  start_all();
  dog(0).finish();
  dog(1).finish();
  ranks_[1]->dog.reset();
  EXPECT_EQ(verdict(0, 0.7), "");
}

TEST_F(WatchdogTest, OutsideOfCollectivesTimeIsFree) {
  build(2, 0.2);
  start_all();
  dog(0).enter("all_reduce");
  dog(1).enter("all_reduce");
  dog(0).leave();
  dog(1).leave();
  EXPECT_EQ(verdict(0, 0.6), "");
}

TEST_F(WatchdogTest, AfterAStopSignalTheGraceTimeCounts) {
  std::atomic<bool> stop = true;
  build(2, 300, &stop);
  start_all();
  dog(0).enter("all_reduce");
  EXPECT_THAT(verdict(0, 2), AllOf(HasSubstr("rank 1 ("), HasSubstr("comm.term_grace_s")));
}

// A process id of another container would be that of a stranger, or of nobody.
TEST_F(WatchdogTest, AProcessThatCannotBeSeenFromHereIsNotGone) {
  const pid_t process = ended_process();
  build(2, 300);
  std::istringstream in(addresses_[1]);
  std::string host, old_process, port, network, processes, rest;
  in >> host >> old_process >> port >> network >> processes;
  std::getline(in, rest);
  addresses_[1] = host + " " + std::to_string(process) + " " + port + " " + network + " " + processes + "7" + rest;
  dog(0).start(addresses_, kJob);
  EXPECT_EQ(verdict(0, 0.5), "");
}

TEST_F(WatchdogTest, TheGraceTimeBeginsWithTheStopSignal) {
  std::atomic<bool> stop = false;
  build(2, 300, &stop);
  start_all();
  dog(0).enter("all_reduce");
  EXPECT_EQ(verdict(0, 0.6), "") << "longer than the grace time";
  const auto start = std::chrono::steady_clock::now();
  stop = true;
  EXPECT_THAT(verdict(0, 3), HasSubstr("comm.term_grace_s"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(290));
}

TEST_F(WatchdogTest, NobodyIsAbsentWhileARankIsSaving) {
  std::atomic<bool> stop = true;
  build(3, 0.4, &stop);
  start_all();
  dog(0).set_saving(true);
  for (size_t rank : {1u, 2u}) dog(rank).enter("barrier (save)");
  EXPECT_EQ(verdict(1, 1), "");
  dog(0).set_saving(false);
  EXPECT_THAT(verdict(1, 2), HasSubstr("rank 0 (")) << "but when it has saved, it has to come";
}

TEST_F(WatchdogTest, ASavingRankThatFailsOrDiesStillEndsTheOthers) {
  build(2, 300);
  start_all();
  dog(0).set_saving(true);
  dog(1).enter("barrier (save)");
  dog(0).announce_failure("the disk is full");
  dog(0).set_saving(false);
  EXPECT_THAT(verdict(1, 2), HasSubstr("rank 0 failed: the disk is full"));
}

TEST_F(WatchdogTest, ALargeWorldHearsOfEveryRankInTurn) {
  build(40, 300);
  start_all();
  dog(0).set_step(7);
  dog(39).announce_failure("one of many");
  for (size_t rank : {0u, 17u, 38u}) EXPECT_THAT(verdict(rank, 3), HasSubstr("rank 39 failed: one of many"));
}

TEST(UdpSocket, HearsBothFamiliesOnEveryInterface) {
  const UdpSocket socket(false);
  const UdpSocket sender(false);
  int num_heard = 0;
  for (const char* address : {"127.0.0.1", "::1"}) {
    const auto to = SocketAddress::parse(address, socket.port());
    ASSERT_TRUE(to);
    const uint32_t sent = 7;
    sender.send(&sent, sizeof sent, *to);
    uint32_t found = 0;
    if (socket.receive(&found, sizeof found) && found == sent) ++num_heard;
  }
  EXPECT_EQ(num_heard, std::filesystem::exists("/proc/net/if_inet6") ? 2 : 1) << "a kernel can be without IPv6";
  EXPECT_FALSE(SocketAddress::parse("node1", 1));
  EXPECT_TRUE(SocketAddress::parse("127.9.9.9", 1)->is_loopback());
  EXPECT_TRUE(SocketAddress::parse("::1", 1)->is_loopback());
  EXPECT_FALSE(SocketAddress::parse("2001:db8::1", 1)->is_loopback());
}

TEST_F(WatchdogTest, AnotherJobAndGarbageAreNotHeard) {
  build(2, 300);
  dog(0).start(addresses_, kJob);
  dog(1).start(addresses_, kJob + 1);
  dog(1).announce_failure("of another job");
  std::istringstream in(addresses_[0]);
  std::string host;
  int process = 0, port = 0;
  in >> host >> process >> port;
  const int out = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (size_t size : {1u, 100u, 288u, 1000u}) {
    const std::string garbage(size, '\xff');
    EXPECT_EQ(sendto(out, garbage.data(), size, 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
              static_cast<ssize_t>(size));
  }
  close(out);
  EXPECT_EQ(verdict(0, 0.5), "");
}

}  // namespace
}  // namespace rehearse
