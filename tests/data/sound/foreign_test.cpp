#include "data/speech/sound/foreign.h"

#include <gmock/gmock.h>

#include "sound_bytes.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

std::string description(const std::string& bytes) {
  return describe_foreign(ByteSource(std::as_bytes(std::span(bytes)), "memory"));
}

TEST(Foreign, FilesThatAreNoAudioAreCalledWhatTheyAre) {
  const std::pair<std::string, const char*> cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "git-LFS pointer"},
      {"<!DOCTYPE html><html><body>404", "web page"},
      {"\n\n<HTML lang=en>", "web page"},
      {"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "s, "resource fork"},
      {"\x00\x00\x00\x20"s + "ftypM4A \0\0\0\0"s, "m4a"},
      {"\x1A\x45\xDF\xA3\x01\x00"s, "WebM"},
      {"\x30\x26\xB2\x75\x8E\x66\xCF\x11\xA6\xD9"s, "Windows Media"},
      {"#!AMR\n\x3C", "AMR"},
      {"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\n", "Shorten"},
      {"\xFF\xF1\x50\x80\x02\x1F\xFC", "AAC"},
      {"\x1F\x8B\x08\x00"s, "gzip"},
      {"{\"error\": \"not found\"}", "JSON"},
      {"plain words\n", "text, \"plain words"},
      {std::string(600, '\0'), "only zeros"},
      {"fLaC\x00\x00"s, "FLAC"},
  };
  for (const auto& [bytes, what] : cases) EXPECT_THAT(description(bytes), HasSubstr(what)) << bytes;
}

TEST(Foreign, AWavFileNamesItsCodec) {
  EXPECT_THAT(description(testing::wav_bytes("data", 0x83, 0, 1, 8000)), HasSubstr("G.729 (format 0x0083)"));
  EXPECT_THAT(description(testing::wav_bytes("data", 0x161, 0, 1, 8000)), HasSubstr("Windows Media"));
}

TEST(Foreign, AReaderSaysSoAndNamesTheFileOnce) {
  TemporaryFolder folder;
  const std::string path = folder / "a.wav";
  testing::write_file(path, "version https://git-lfs.github.com/spec/v1\n");
  try {
    AudioReaders().duration_s(path);
    FAIL() << "expected a refusal";
  } catch (const DataError& failure) {
    EXPECT_EQ(failure.what(),
              path +
                  ": expected audio; found a git-LFS pointer instead of the file; fetch the file itself with "
                  "`git lfs pull`");
  }
}

}  // namespace
}  // namespace rehearse
