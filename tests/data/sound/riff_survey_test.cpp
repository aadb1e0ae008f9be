#include <gmock/gmock.h>

#include "sound_bytes.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::little_endian;
using testing::read_whole;
using testing::sound_bytes;

std::string wav(std::optional<uint32_t> promised = {}) {
  const auto samples = testing::sine_int16(300, 16000, 64000);
  return testing::wav_bytes({reinterpret_cast<const char*>(samples.data()), samples.size() * 2}, 1, 16, 1, 16000,
                            promised);
}

void expect_whole(const std::string& bytes, double seconds) {
  const auto found = read_whole(bytes);
  EXPECT_DOUBLE_EQ(found.heard_s, seconds);
  EXPECT_DOUBLE_EQ(found.duration_s, seconds) << found.refusal;
  EXPECT_EQ(found.remark, "");
}

TEST(RiffSurvey, ARecordingThatWasNeverClosedIsReadToItsEnd) {
  for (const uint32_t length : {0u, 0xFFFFFFFFu, 0x7FFFFFFFu, 0x7FFFFFDBu, 0x80000000u}) expect_whole(wav(length), 4);
  std::string no_riff_length = wav(0);
  no_riff_length.replace(4, 4, little_endian(0, 4));
  expect_whole(no_riff_length, 4);
}

TEST(RiffSurvey, AnEmptyOneIsEmpty) {
  const std::string empty = testing::wav_int16({}, 16000) + "LIST" + little_endian(4, 4) + "INFO";
  EXPECT_THAT(read_whole(empty).refusal, HasSubstr("0 samples"));
}

TEST(RiffSurvey, SeveralDataChunksAndJoinedFilesAreReadOneAfterTheOther) {
  const std::string data = wav().substr(36);
  expect_whole(wav() + data, 8);
  expect_whole(wav() + "junk" + little_endian(4, 4) + "abcd" + data, 8);
  expect_whole(wav() + wav(), 8);
  expect_whole(wav() + wav(0), 8);
}

TEST(RiffSurvey, TagsAndPaddingBehindItDoNotMatter) {
  expect_whole(wav() + "TAG" + std::string(125, 'x'), 4);
  expect_whole(wav() + std::string(40000, '\0'), 4);
}

TEST(RiffSurvey, ACutFileIsHeardWithAWordAndHasNoDuration) {
  const auto found = read_whole(wav().substr(0, 44 + 64000));
  EXPECT_DOUBLE_EQ(found.heard_s, 2);
  EXPECT_THAT(found.remark, HasSubstr("2.00 s missing: expected 128000 bytes of audio, found 64000"));
  EXPECT_THAT(found.refusal, HasSubstr("expected 128000 bytes of audio, found 64000"));
}

TEST(RiffSurvey, MoreThanTheHeaderPromisesIsNamed) {
  EXPECT_THAT(read_whole(wav(32000)).refusal, HasSubstr("96000 bytes more"));
}

TEST(RiffSurvey, Mp3InsideIsReadByItsFrames) {
  const std::string mp3 = sound_bytes({SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III});
  const std::string bytes = testing::wav_bytes(mp3, 0x55, 0, 1, 16000);
  EXPECT_NEAR(read_whole(bytes).duration_s, 4, 0.15);
}

TEST(RiffSurvey, Rf64IsRead) {
  expect_whole(sound_bytes({SF_FORMAT_RF64 | SF_FORMAT_PCM_16}), 4);
}

class SizedSurvey : public ::testing::TestWithParam<std::pair<const char*, int>> {};
INSTANTIATE_TEST_SUITE_P(Formats, SizedSurvey,
                         ::testing::Values(std::pair("Aiff", SF_FORMAT_AIFF), std::pair("Au", SF_FORMAT_AU),
                                           std::pair("Wave64", SF_FORMAT_W64)),
                         [](const auto& info) { return info.param.first; });

TEST_P(SizedSurvey, ACutFileIsHeardWithAWordAndHasNoDuration) {
  const std::string bytes = sound_bytes({GetParam().second | SF_FORMAT_PCM_16});
  expect_whole(bytes, 4);
  const auto found = read_whole(bytes.substr(0, bytes.size() / 2));
  EXPECT_NEAR(found.heard_s, 2, 0.01);
  EXPECT_THAT(found.remark, HasSubstr("2.00 s missing"));
  EXPECT_THAT(found.refusal, HasSubstr("2.00 s missing"));
}

}  // namespace
}  // namespace rehearse
