#include <gmock/gmock.h>

#include "sound_bytes.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::read_whole;
using testing::sound_bytes;

const std::string& whole() {
  static const std::string bytes = sound_bytes({SF_FORMAT_FLAC | SF_FORMAT_PCM_16});
  return bytes;
}

// STREAMINFO: 20 bits of rate, 3 of channels, 5 of depth, 36 of samples.
std::string with_total(uint32_t samples) {
  std::string bytes = whole();
  bytes[21] = static_cast<char>(bytes[21] & 0xF0);
  for (int i = 0; i < 4; ++i) bytes[22 + i] = static_cast<char>(samples >> (24 - 8 * i));
  return bytes;
}

void expect_whole(const std::string& bytes, double seconds, double tolerance_s = 1e-6) {
  const auto found = read_whole(bytes);
  EXPECT_NEAR(found.heard_s, seconds, tolerance_s);
  EXPECT_NEAR(found.duration_s, seconds, tolerance_s) << found.refusal;
  EXPECT_EQ(found.remark, "");
}

TEST(FlacSurvey, TheEndIsTheLastFrameWhateverTheHeaderPromises) {
  expect_whole(whole(), 4);
  expect_whole(with_total(0), 4);
  expect_whole(with_total(16000), 4);
  const auto found = read_whole(with_total(128000));
  EXPECT_DOUBLE_EQ(found.heard_s, 4);
  EXPECT_THAT(found.refusal, HasSubstr("4.00 s missing: expected 128000 frames, found 64000"));
}

TEST(FlacSurvey, JoinedFilesAreReadOneAfterTheOther) {
  expect_whole(whole() + whole(), 8);
  expect_whole(whole() + sound_bytes({SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 16000, 2}), 8);
  EXPECT_THAT(read_whole(whole() + sound_bytes({SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 8000})).refusal,
              HasSubstr("recordings of 16000 and 8000 Hz"));
}

TEST(FlacSurvey, TagsAroundItDoNotMatter) {
  expect_whole(std::string("ID3\3\0\0\0\0\1\20", 10) + std::string(144, 'y') + whole() + "TAG" + std::string(125, 'x'),
               4);
}

TEST(FlacSurvey, ACutFileIsHeardWithAWordAndHasNoDuration) {
  const auto found = read_whole(whole().substr(0, whole().size() / 2));
  EXPECT_NEAR(found.heard_s, 2, 0.3);
  EXPECT_THAT(found.remark, HasSubstr("missing: expected 64000 frames, found"));
  EXPECT_THAT(found.refusal, HasSubstr("missing: expected 64000 frames, found"));
  const std::string endless = with_total(0);
  EXPECT_THAT(read_whole(endless.substr(0, endless.size() / 2)).refusal, HasSubstr("expected a whole frame"));
}

TEST(FlacSurvey, DamageCostsItsFramesAndNoMore) {
  std::string bytes = whole();
  bytes.replace(bytes.size() / 2, 50, 50, '\0');
  const auto found = read_whole(bytes);
  EXPECT_GT(found.heard_s, 3.7) << "decoding goes on behind the damage";
  EXPECT_LT(found.heard_s, 4);
  std::string removed = whole();
  removed.erase(removed.size() / 4, removed.size() / 2);
  EXPECT_THAT(read_whole(removed).refusal, HasSubstr("found none before byte"));
}

}  // namespace
}  // namespace rehearse
