#include "data/speech/missing_audio.h"

#include <gtest/gtest.h>

#include "audio_support.h"
#include "data/speech/import/import_corpus.h"
#include "data/speech/pack/pack_corpus.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

TEST(MissingAudio, ALittleMayBeMissingAndNoMoreThanThat) {
  EXPECT_FALSE(is_missing(0.2, 0.1));
  EXPECT_TRUE(is_missing(0.6, 0.46));
  EXPECT_FALSE(is_missing(10, 9.41));
  EXPECT_TRUE(is_missing(10, 9.39));
  EXPECT_FALSE(is_missing(3600, 3598.95));
  EXPECT_TRUE(is_missing(3600, 3598.8)) << "five per cent of an hour would be three minutes of speech";
  EXPECT_TRUE(is_missing(0.05, 0)) << "nothing at all";
  EXPECT_FALSE(is_missing(1, 7));
}

TEST(MissingAudio, PackingRefusesWhatTrainingWouldRefuse) {
  TemporaryFolder folder;
  write_file(folder / "short.wav", testing::wav_int16(testing::sine_int16(300, 16000, 9600), 16000));
  write_file(folder / "whole.wav", testing::wav_int16(testing::sine_int16(300, 16000, 16000), 16000));
  write_file(folder / "m.jsonl", R"({"audio_filepath": "short.wav", "text": "a", "duration": 1.0, "domain": "d"})"
                                 "\n"
                                 R"({"audio_filepath": "whole.wav", "text": "a", "duration": 1.0, "domain": "d"})"
                                 "\n");
  FileLayer files;
  const PackSummary summary = pack_corpus({folder / "m.jsonl"}, folder / "pack", {}, AudioReaders(), files);
  EXPECT_EQ(summary.packed, 1u);
  ASSERT_EQ(summary.rejected.size(), 1u);
  EXPECT_EQ(summary.rejected[0].reason,
            "expected 1 s, as stated for it; found 0.6 s: the file is cut off or the stated duration is wrong; fetch "
            "the file again, or leave it out");
}

}  // namespace
}  // namespace rehearse
