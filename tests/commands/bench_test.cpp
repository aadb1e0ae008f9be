// rehearse bench comm between real ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/data/text/text_support.h"
#include "tests/support/process.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

class BenchComm : public ::testing::Test {
 protected:
  TemporaryFolder folder_{"bench"};
};

TEST_F(BenchComm, RanksPrintOneTableAndWriteItsFiguresAsJson) {
  const std::string json = (folder_.path() / "comm.json").string();
  for (int ranks : {2, 4}) {
    SCOPED_TRACE(ranks);
    const ProcessResult result = run_rehearse_ranks(
        ranks, {"bench", "comm", "--min", "64", "--max", "64K", "--factor", "32", "--iterations", "5", "--json", json});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr(std::to_string(ranks) + " rank(s)"));
    EXPECT_EQ(result.out.find("collective"), result.out.rfind("collective")) << "one rank prints";
    const nlohmann::json figures = nlohmann::json::parse(read_text(json));
    EXPECT_EQ(figures.at("ranks"), ranks);
    ASSERT_EQ(figures.at("results").size(), 9u) << "64, 2K and 64K for each of three";
    for (const auto& one : figures.at("results")) {
      EXPECT_EQ(one.at("wrong"), 0) << one;
      EXPECT_GT(one.at("median_s"), 0) << one;
      EXPECT_GT(one.at("bus_bytes_per_s"), 0) << one;
    }
    EXPECT_EQ(figures["results"][2]["bytes"], 65536);
  }
}

TEST_F(BenchComm, WrongOptionsExitWithTwoAndSayWhatWasExpected) {
  const std::vector<std::vector<std::string>> lines = {{"bench", "memory"},
                                                       {"bench", "comm", "--factor", "1"},
                                                       {"bench", "comm", "--device", "tpu"},
                                                       {"bench", "comm", "--max", "4T"},
                                                       {"bench", "comm", "--iterations", "0"},
                                                       {"bench", "comm", "--sizes", "8"}};
  for (const auto& line : lines) {
    const ProcessResult result = run_rehearse(line);
    EXPECT_EQ(result.exit_code, 2) << line.back() << result.err;
    EXPECT_THAT(result.err, HasSubstr("rehearse: ")) << line.back();
  }
  const ProcessResult turned = run_rehearse({"bench", "comm", "--min", "1M", "--max", "1K"});
  EXPECT_EQ(turned.exit_code, 2);
  EXPECT_THAT(turned.err, HasSubstr("--max: expected at least --min, 1048576 bytes; found 1024"));
}

}  // namespace
}  // namespace rehearse
