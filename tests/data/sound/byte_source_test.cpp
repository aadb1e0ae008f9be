#include "data/speech/sound/byte_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "tests/data/speech/audio_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::write_file;

// Fails the first calls with one error; its clock runs only while somebody waits.
class FailingReads : public ReadLayer {
 public:
  FailingReads(int error_number, int opens, int reads) : error_(error_number), opens_(opens), reads_(reads) {}
  int open(const std::string& path) override { return opens_-- > 0 ? -error_ : ReadLayer::open(path); }
  int64_t read_at(int descriptor, std::span<std::byte> to, uint64_t offset) override {
    return reads_-- > 0 ? -error_ : ReadLayer::read_at(descriptor, to, offset);
  }
  void wait(double seconds) override { waited_s += seconds; }
  void say(const std::string& line) override { said.push_back(line); }

  double waited_s = 0;
  std::vector<std::string> said;

 private:
  int error_, opens_, reads_;
};

std::string text_of(const ByteSource& source) {
  std::string text(source.size(), '\0');
  text.resize(source.read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

std::string failure_of(const std::string& path) {
  try {
    ByteSource source(path);
  } catch (const DataError& failure) {
    return failure.what();
  }
  return "no failure";
}

TEST(ByteSource, APassingFailureIsTriedAgainAndSaid) {
  TemporaryFolder folder;
  write_file(folder / "a", "content");
  for (const int error : {EIO, ESTALE, ETIMEDOUT, EAGAIN, EMFILE, EINTR}) {
    FailingReads layer(error, 1, 2);
    EXPECT_EQ(text_of(ByteSource(folder / "a", layer)), "content") << error;
    EXPECT_EQ(layer.said.size(), 3u) << error;
    EXPECT_THAT(layer.said.at(0), HasSubstr("trying again in 0.1 s"));
  }
}

TEST(ByteSource, WhatDoesNotPassInTimeIsNoVerdictOnTheFile) {
  TemporaryFolder folder;
  write_file(folder / "a", "content");
  FailingReads layer(EIO, 0, 1000);
  const ByteSource source(folder / "a", layer);
  EXPECT_THROW(text_of(source), PassingError);
  EXPECT_GT(layer.waited_s, 5);
  EXPECT_LT(layer.waited_s, 15) << "bounded";
  FailingReads forbidden(EACCES, 1000, 0);
  EXPECT_THROW(ByteSource(folder / "a", forbidden), DataError);
  EXPECT_EQ(forbidden.waited_s, 0) << "no permission does not pass";
}

TEST(ByteSource, SaysWhatAPathIs) {
  TemporaryFolder folder;
  write_file(folder / "empty", "");
  write_file(folder / "file", "x");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(failure_of(folder / "absent"), HasSubstr("found no such file"));
  EXPECT_THAT(failure_of(folder.path().string()), HasSubstr("found a folder"));
  EXPECT_THAT(failure_of(folder / "empty"), HasSubstr("found 0 bytes"));
  EXPECT_THAT(failure_of(folder / "file/inside"), HasSubstr("found not a directory"));
  EXPECT_THAT(failure_of(folder / std::string(300, 'a')), HasSubstr("found file name too long"));
  EXPECT_THAT(failure_of(folder / "pipe"), HasSubstr("found a pipe"));
}

TEST(ByteSource, APipeIsReadToItsEndAndThenLikeAFile) {
  TemporaryFolder folder;
  const std::string path = folder / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::string content(300000, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  std::jthread writer([&] { std::ofstream(path, std::ios::binary) << content; });
  const ByteSource source(path, ReadLayer::system(), true);
  EXPECT_EQ(source.size(), content.size());
  EXPECT_EQ(text_of(source), content);
  EXPECT_EQ(text_of(source), content);
}

TEST(ByteWindow, ShowsTheSameBytesInAnyOrder) {
  std::string content(200000, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 >> 3);
  const ByteSource source(std::as_bytes(std::span(content)), "memory");
  ByteWindow window(source);
  for (const size_t offset : {0, 199990, 5, 70000, 69000, 199999, 200000, 300000}) {
    const auto bytes = window.at(offset, 20);
    ASSERT_EQ(bytes.size(), offset >= content.size() ? 0 : std::min<size_t>(20, content.size() - offset));
    for (size_t i = 0; i < bytes.size(); ++i) EXPECT_EQ(static_cast<char>(bytes[i]), content[offset + i]);
  }
}

}  // namespace
}  // namespace rehearse
