#include "trainer/observe/observation_log.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/data/text/text_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

const std::vector<uint64_t> kIds = {0xFFFFFFFFFFFFFFFFull, 7, 0x8000000000000001ull};

std::vector<Observation> observed(uint32_t first, double cer) {
  std::vector<Observation> list(2);
  list[0].draw.utterance = first;
  list[0].error = cer;
  list[1].position = 1;
  list[1].draw.utterance = 2;
  list[1].error = 1.0 / 3;
  list[1].is_bad_file = true;
  return list;
}

class ObservationLogTest : public ::testing::Test {
 protected:
  fs::path path() const { return folder_.path() / "observations.jsonl"; }
  void write_steps(uint64_t count) {
    ObservationWriter writer(path(), 0);
    for (uint64_t step = 0; step < count; ++step)
      writer.write(step, observed(0, 0.1 * static_cast<double>(step)), kIds);
  }
  TemporaryFolder folder_{"observations"};
};

TEST_F(ObservationLogTest, AReplayGivesEveryBitBack) {
  write_steps(4);
  const ObservationReplay replay(path());
  std::vector<Observation> own = observed(0, 0.9);
  own[1].error = 0;
  own[1].is_bad_file = false;
  replay.replace(3, own, kIds);
  EXPECT_EQ(own[0].error, 0.1 * 3.0);
  EXPECT_EQ(own[1].error, 1.0 / 3);
  EXPECT_TRUE(own[1].is_bad_file);
}

TEST_F(ObservationLogTest, OtherDrawsOrAnAbsentStepAreRefused) {
  write_steps(2);
  const ObservationReplay replay(path());
  std::vector<Observation> other = observed(1, 0), fewer = observed(0, 0), good = observed(0, 0);
  fewer.pop_back();
  EXPECT_THROW(replay.replace(1, other, kIds), DataError);
  EXPECT_THROW(replay.replace(1, fewer, kIds), DataError);
  EXPECT_THROW(replay.replace(2, good, kIds), DataError);
  EXPECT_NO_THROW(replay.replace(1, good, kIds));
}

TEST_F(ObservationLogTest, AResumedRunKeepsWhatCameBeforeItsStep) {
  write_steps(6);
  std::ofstream(path(), std::ios::app) << "{\"step\": 6, \"dra";  // a crash
  {
    ObservationWriter resumed(path(), 3);
    resumed.write(3, observed(0, 0.77), kIds);
  }
  const ObservationReplay replay(path());
  std::vector<Observation> own = observed(0, 0);
  replay.replace(2, own, kIds);
  EXPECT_EQ(own[0].error, 0.1 * 2.0);
  replay.replace(3, own, kIds);
  EXPECT_EQ(own[0].error, 0.77);
  EXPECT_THROW(replay.replace(4, own, kIds), DataError);
}

TEST_F(ObservationLogTest, ABrokenLineIsNamed) {
  write_steps(2);
  std::ofstream(path(), std::ios::app) << "{\"step\": 2, \"draws\": [[\"xyz\", 0, 0]]}\n";
  try {
    const ObservationReplay replay(path());
    FAIL() << "expected a refusal";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("observations.jsonl:3: expected"), std::string::npos) << error.what();
  }
  EXPECT_THROW(ObservationReplay(folder_.path() / "absent"), DataError);
}

}  // namespace
}  // namespace rehearse
