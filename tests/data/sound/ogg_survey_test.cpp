#include <gmock/gmock.h>

#include "sound_bytes.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::read_whole;
using testing::sound_bytes;

class OggSurvey : public ::testing::TestWithParam<std::pair<const char*, int>> {
 protected:
  static std::string bytes(int rate_hz, double seconds, int channels = 1) {
    return sound_bytes({SF_FORMAT_OGG | GetParam().second, rate_hz, channels, seconds});
  }
};
INSTANTIATE_TEST_SUITE_P(Codecs, OggSurvey,
                         ::testing::Values(std::pair("Vorbis", SF_FORMAT_VORBIS), std::pair("Opus", SF_FORMAT_OPUS)),
                         [](const auto& info) { return info.param.first; });

TEST_P(OggSurvey, ChainedFilesAreReadOneAfterTheOther) {
  for (const std::string& second : {bytes(16000, 3), bytes(16000, 3, 2)}) {
    const auto found = read_whole(bytes(16000, 5) + second);
    EXPECT_NEAR(found.heard_s, 8, 0.01);
    EXPECT_NEAR(found.duration_s, 8, 0.01) << found.refusal;
    EXPECT_EQ(found.remark, "");
  }
}

TEST_P(OggSurvey, AnotherSampleRateBehindTheFirstIsRefusedByName) {
  EXPECT_THAT(read_whole(bytes(16000, 2) + bytes(48000, 2)).refusal, HasSubstr("recordings of 16000 and 48000 Hz"));
}

TEST_P(OggSurvey, ACutFileIsHeardWithAWordAndHasNoDuration) {
  const std::string whole = bytes(16000, 8);
  const auto found = read_whole(whole.substr(0, whole.size() * 2 / 3));
  EXPECT_GT(found.heard_s, 2);
  EXPECT_LT(found.heard_s, 7);
  EXPECT_THAT(found.remark, HasSubstr("cut off: expected a page of"));
  EXPECT_THAT(found.refusal, HasSubstr("cut off: expected a page of"));
  const auto no_last = read_whole(whole.substr(0, whole.rfind("OggS")));
  EXPECT_THAT(no_last.refusal, HasSubstr("expected a page marked as the last one"));
}

TEST_P(OggSurvey, ADamagedPageIsMissed) {
  std::string whole = bytes(16000, 8);
  const size_t page = whole.find("OggS", whole.size() / 2);
  ASSERT_NE(page, std::string::npos);
  whole[page + 200] ^= 1;
  EXPECT_THAT(read_whole(whole).refusal, HasSubstr("missing: expected page"));
}

}  // namespace
}  // namespace rehearse
