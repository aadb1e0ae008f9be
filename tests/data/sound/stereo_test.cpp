#include "data/speech/sound/stereo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/data/speech/audio_support.h"
#include "trainer/base/random.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;

// Two channels of noise with this much in common.
std::string remark(double left_gain, double right_gain, double own) {
  const RandomKey key(3);
  std::vector<float> both;
  for (size_t i = 0; i < 16000; ++i) {
    const double common = key.normal(3 * i);
    both.push_back(static_cast<float>(0.1 * left_gain * (common + own * key.normal(3 * i + 1))));
    both.push_back(static_cast<float>(0.1 * right_gain * (common + own * key.normal(3 * i + 2))));
  }
  StereoSums sums;
  sums.add(both, 2);
  return stereo_remark(sums);
}

TEST(Stereo, OneSoundInBothChannelsIsNothingToRemark) {
  EXPECT_EQ(remark(1, 1, 0), "");
  EXPECT_EQ(remark(1, 0.3, 0.2), "") << "panned";
  EXPECT_EQ(remark(1, 0, 0), "") << "one channel is silent";
  EXPECT_EQ(stereo_remark(StereoSums{}), "");
}

TEST(Stereo, ChannelsThatCancelEachOtherAreNamed) {
  EXPECT_THAT(remark(1, -1, 0.01), HasSubstr("antiphase"));
  EXPECT_EQ(remark(0, 0, 0), "") << "silence is another finding";
}

TEST(Stereo, TwoSpeakersInTwoChannelsAreNamed) {
  EXPECT_THAT(remark(1, 0.8, 10), HasSubstr("perhaps two speakers"));
}

TEST(Stereo, AReaderHearsIt) {
  TemporaryFolder folder;
  std::vector<int16_t> both;
  for (const int16_t one : testing::sine_int16(300, 16000, 16000)) {
    both.push_back(one);
    both.push_back(static_cast<int16_t>(-one));
  }
  testing::write_file(folder / "a.wav", testing::wav_int16(both, 16000, 2));
  const AudioReaders readers;
  const HeardAudio mixed = readers.hear(folder / "a.wav", {}, 16000);
  ASSERT_EQ(mixed.remarks.size(), 2u);
  EXPECT_THAT(mixed.remarks[1], HasSubstr("silent"));
  EXPECT_THAT(mixed.remarks[0], HasSubstr("antiphase"));
  EXPECT_TRUE(readers.hear(folder / "a.wav", {.channel = 1}, 16000).remarks.empty());
}

}  // namespace
}  // namespace rehearse
