#include <gmock/gmock.h>

#include "sound_bytes.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::read_whole;
using testing::sound_bytes;
using testing::without_info_frame;

constexpr int kMp3 = SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III;
constexpr double kFrames_s = 0.15;  // what a decoder adds at both ends when nobody tells it what to cut

void expect_whole(const std::string& bytes, double seconds) {
  const auto found = read_whole(bytes);
  EXPECT_NEAR(found.heard_s, seconds, kFrames_s);
  EXPECT_NEAR(found.duration_s, seconds, kFrames_s) << found.refusal;
  EXPECT_EQ(found.remark, "");
}

TEST(MpegSurvey, AVariableRateWithoutItsHeaderIsReadToTheEnd) {
  expect_whole(without_info_frame(sound_bytes({kMp3, 16000, 1, 10, true})), 10);
  expect_whole(without_info_frame(sound_bytes({kMp3, 44100, 2, 4, true})), 4);
  expect_whole(without_info_frame(sound_bytes({kMp3, 8000, 1, 10, true})), 10);  // MPEG-2.5
}

TEST(MpegSurvey, JoinedFilesAreReadOneAfterTheOther) {
  const std::string part = sound_bytes({kMp3});
  expect_whole(part + part + part, 12);
  expect_whole(
      part + ("TAG" + std::string(125, 'x')) + std::string("ID3\3\0\0\0\0\1\20", 10) + std::string(144, 'y') + part, 8);
  expect_whole(without_info_frame(part) + part, 8);
  expect_whole(part + sound_bytes({kMp3, 16000, 2}), 8);  // another number of channels
}

TEST(MpegSurvey, AnotherSampleRateBehindTheFirstIsRefusedByName) {
  const auto found = read_whole(sound_bytes({kMp3}) + sound_bytes({kMp3, 44100}));
  EXPECT_THAT(found.refusal, HasSubstr("recordings of 16000 and 44100 Hz joined in one file"));
}

TEST(MpegSurvey, ACutFileIsHeardWithAWordAndHasNoDuration) {
  const std::string whole = sound_bytes({kMp3});
  const auto found = read_whole(whole.substr(0, whole.size() / 2));
  EXPECT_NEAR(found.heard_s, 2, 0.2);
  EXPECT_THAT(found.remark, HasSubstr("cut off"));
  EXPECT_THAT(found.refusal, HasSubstr("cut off"));
}

TEST(MpegSurvey, DamageInTheMiddleCostsOnlyWhatIsDamaged) {
  std::string bytes = without_info_frame(sound_bytes({kMp3}));
  expect_whole(bytes.substr(0, bytes.size() / 2) + std::string(300, 'z') + bytes.substr(bytes.size() / 2), 4 + 0.07);
  const auto found = read_whole(bytes + std::string(bytes.size() / 2, 'z') + bytes);
  EXPECT_NEAR(found.heard_s, 8, 2 * kFrames_s);
  EXPECT_THAT(found.refusal, HasSubstr("bytes of something else"));
}

TEST(MpegSurvey, AHeaderThatPromisesTooLittleIsNotBelieved) {
  std::string bytes = sound_bytes({kMp3});
  const size_t tag = std::min(bytes.find("Info"), bytes.find("Xing"));
  ASSERT_NE(tag, std::string::npos);
  bytes.replace(tag + 8, 4, std::string("\0\0\0\x14", 4));  // 20 frames
  expect_whole(bytes, 4);
}

TEST(MpegSurvey, APartBehindTheFirstPromiseIsFound) {
  const rehearse::TemporaryFolder folder;
  const std::string part = sound_bytes({kMp3});
  testing::write_file(folder / "joined.mp3", part + part + part);
  const AudioReaders readers;
  const auto all = readers.read(folder / "joined.mp3", 0, 0, 16000);
  const auto piece = readers.read(folder / "joined.mp3", 9, 2, 16000);
  ASSERT_EQ(piece.size(), 32000u);
  for (size_t i = 0; i < piece.size(); ++i) ASSERT_NEAR(piece[i], all[size_t{9} * 16000 + i], 2e-3) << i;
}

}  // namespace
}  // namespace rehearse
