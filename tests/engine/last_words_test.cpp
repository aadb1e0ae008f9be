// Why a process ended is in its run folder afterwards.
#include "trainer/engine/guards/last_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "tests/data/text/text_support.h"
#include "trainer/base/ending.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// Everything happens in a child: what is process-wide must not outlive a test.
class LastWords : public ::testing::Test {
 protected:
  LastWords() { std::ofstream(metrics()) << "{\"kind\":\"note\",\"step\":1,\"text\":\"one\"}\n"; }
  fs::path log() const { return folder_.path() / "rank-3.log"; }
  fs::path metrics() const { return folder_.path() / "metrics.jsonl"; }
  void begin() const {
    keep_last_words(log(), 3);
    note_last_words(metrics());
    set_last_words_step(1200);
  }

  TemporaryFolder folder_{"last_words"};
};

TEST_F(LastWords, AreInTheLogAndInTheMetrics) {
  EXPECT_EXIT(
      {
        begin();
        say_last_words("disk: expected room\nfound none \x1b[2J");
        _exit(4);
      },
      ::testing::ExitedWithCode(4), "");
  EXPECT_THAT(read_text(log()), HasSubstr("[rank 3] error: disk: expected room\nfound none \\x1b[2J\n"));
  EXPECT_THAT(read_text(metrics()), EndsWith("{\"kind\":\"note\",\"step\":1200,\"text\":\"ended by rank 3: disk: "
                                             "expected room\\nfound none \\\\x1b[2J\"}\n"));
}

TEST_F(LastWords, DoNotJoinALineThatAFullDiskCutOff) {
  std::ofstream(metrics(), std::ios::app) << "{\"kind\":\"st";
  EXPECT_EXIT(
      {
        begin();
        say_last_words("the end");
        _exit(4);
      },
      ::testing::ExitedWithCode(4), "");
  EXPECT_THAT(read_text(metrics()), EndsWith("{\"kind\":\"st"));
  EXPECT_THAT(read_text(log()), HasSubstr("the end"));
}

TEST_F(LastWords, NobodyWhoKeepsNoneSaysAny) {
  EXPECT_EXIT(
      {
        say_last_words("the end");
        _exit(4);
      },
      ::testing::ExitedWithCode(4), "");
  EXPECT_FALSE(fs::exists(log()));
}

TEST_F(LastWords, ACrashLeavesOneLineAndTheSignal) {
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGHUP}) {
    EXPECT_EXIT(
        {
          std::signal(signal, SIG_DFL);  // nohup may have started this
          begin();
          raise(signal);
        },
        ::testing::KilledBySignal(signal), "error: ended by SIG.* at step 1200; resume with --resume auto");
  }
  EXPECT_THAT(read_text(log()), AllOf(HasSubstr("ended by SIGSEGV, a crash at step 1200"), HasSubstr("SIGHUP")));
}

TEST_F(LastWords, AnIgnoredHangUpStaysIgnored) {
  EXPECT_EXIT(
      {
        std::signal(SIGHUP, SIG_IGN);  // nohup
        begin();
        raise(SIGHUP);
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(EndingTest, SaysWhoseFailureItIs) {
  EXPECT_EQ(ending_of(CommError("a: b")).code, kExitComm);
  EXPECT_EQ(ending_of(std::bad_alloc()).code, kExitComm);
  EXPECT_THAT(ending_of(std::bad_alloc()).message, HasSubstr("memory: expected enough"));
  const fs::filesystem_error disk("status", "/a/b", std::make_error_code(std::errc::permission_denied));
  EXPECT_EQ(ending_of(disk).code, kExitData);
  EXPECT_THAT(ending_of(disk).message, AllOf(HasSubstr("/a/b: expected"), HasSubstr("Permission denied")));
}

// libtorch's exceptions bring a stack trace with them.
TEST(EndingTest, OfALibrarysExceptionOnlyTheFirstLineIsShown) {
  const Ending bug = ending_of(std::runtime_error("shapes differ\nException raised from f at g.cpp:1\nframe #0"));
  EXPECT_EQ(bug.code, kExitBug);
  EXPECT_EQ(bug.message, "shapes differ; this is a bug in rehearse, please report it");
  const Ending device = ending_of(std::runtime_error("CUDA error: an illegal memory access\nframe #0"));
  EXPECT_EQ(device.code, kExitComm);
  EXPECT_THAT(device.message, Not(HasSubstr("frame")));
  const Ending memory = ending_of(std::runtime_error("[enforce fail] DefaultCPUAllocator: can't allocate memory"));
  EXPECT_EQ(memory.code, kExitComm);
  EXPECT_THAT(memory.message, HasSubstr("memory: expected enough"));
}

}  // namespace
}  // namespace rehearse
