#include "trainer/observe/tensorboard.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

uint32_t crc_of(const std::string& text) {
  return crc32c(std::as_bytes(std::span(text)));
}

// A second implementation, bit by bit, most significant bit of the remainder first in the reflected register.
uint32_t slow_crc(const std::string& text) {
  uint32_t crc = 0xFFFFFFFFu;
  for (unsigned char c : text) {
    crc ^= c;
    for (int i = 0; i < 8; ++i) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
  }
  return crc ^ 0xFFFFFFFFu;
}

template <class T>
T fixed(const std::string& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.substr(at, sizeof(T)).data(), sizeof(T));
  return value;
}

// One level of Protocol Buffers: field number to values; fixed and varint values as their 64 bits.
struct Message {
  std::map<uint64_t, uint64_t> numbers;
  std::map<uint64_t, std::string> texts;
};

Message parse_message(const std::string& bytes) {
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  };
  Message message;
  while (at < bytes.size()) {
    const uint64_t key = varint(), field = key >> 3;
    switch (key & 7) {
      case 0:
        message.numbers[field] = varint();
        break;
      case 1:
        message.numbers[field] = fixed<uint64_t>(bytes, at);
        at += 8;
        break;
      case 5:
        message.numbers[field] = fixed<uint32_t>(bytes, at);
        at += 4;
        break;
      case 2: {
        const uint64_t size = varint();
        message.texts[field] = bytes.substr(at, size);
        at += size;
        break;
      }
      default:
        ADD_FAILURE() << "unknown wire type in " << key;
        return message;
    }
  }
  return message;
}

uint32_t unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xA282EAD8u;
  return rotated >> 17 | rotated << 15;
}

std::vector<Message> read_events(const fs::path& path) {
  const std::string file = read_text(path);
  std::vector<Message> events;
  for (size_t at = 0; at < file.size();) {
    const auto size = fixed<uint64_t>(file, at);
    EXPECT_EQ(unmask(fixed<uint32_t>(file, at + 8)), slow_crc(file.substr(at, 8)));
    const std::string bytes = file.substr(at + 12, size);
    EXPECT_EQ(unmask(fixed<uint32_t>(file, at + 12 + size)), slow_crc(bytes));
    events.push_back(parse_message(bytes));
    at += 16 + size;
  }
  return events;
}

class Events : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / ("events_" + std::string(test->name()) + std::to_string(::getpid()));
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST(Crc32c, EqualsThePublishedVectors) {
  EXPECT_EQ(crc_of("123456789"), 0xE3069283u);
  EXPECT_EQ(crc_of(""), 0u);
  EXPECT_EQ(crc_of(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
  EXPECT_EQ(crc_of(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST_F(Events, ScalarsAreReadBackByAnIndependentParser) {
  EventWriter writer({.folder = folder_, .host = "host", .wall_time = 1700000000.5});
  writer.scalar("train/loss", 0, 2.5, 1700000001.25);
  writer.scalar("train/cer", 300, 0.125, 1700000002);
  const std::vector<Message> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].texts.at(3), "brain.Event:2");
  EXPECT_EQ(std::bit_cast<double>(events[0].numbers.at(1)), 1700000000.5);

  EXPECT_EQ(std::bit_cast<double>(events[1].numbers.at(1)), 1700000001.25);
  EXPECT_EQ(events[1].numbers.at(2), 0u);
  const Message first = parse_message(parse_message(events[1].texts.at(5)).texts.at(1));
  EXPECT_EQ(first.texts.at(1), "train/loss");
  EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(first.numbers.at(2))), 2.5f);

  EXPECT_EQ(events[2].numbers.at(2), 300u);
  const Message second = parse_message(parse_message(events[2].texts.at(5)).texts.at(1));
  EXPECT_EQ(second.texts.at(1), "train/cer");
  EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(second.numbers.at(2))), 0.125f);
}

TEST_F(Events, APictureIsItsPng) {
  EventWriter writer({.folder = folder_, .host = "host", .wall_time = 5});
  writer.picture("validation/worst/1", 7, std::string("\x89PNG\0\xff", 6), 6);
  const std::vector<Message> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].numbers.at(2), 7u);
  const Message entry = parse_message(parse_message(events[1].texts.at(5)).texts.at(1));
  EXPECT_EQ(entry.texts.at(1), "validation/worst/1");
  EXPECT_EQ(parse_message(entry.texts.at(4)).texts.at(4), std::string("\x89PNG\0\xff", 6));
}

TEST_F(Events, AResumedRunTellsTheViewerWhereItStartsAgain) {
  EventWriter writer({.folder = folder_, .host = "host", .wall_time = 5, .first_step = 41});
  const std::vector<Message> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].numbers.at(2), 41u);
  EXPECT_EQ(parse_message(events[1].texts.at(7)).numbers.at(1), 1u);
}

TEST_F(Events, AnExistingFileIsNeverTouched) {
  const EventWriter::Options options{.folder = folder_, .host = "host", .wall_time = 5};
  EventWriter first(options);
  first.scalar("a", 1, 1, 6);
  EventWriter second(options);
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(read_events(first.path()).size(), 2u);
}

TEST_F(Events, AFolderThatCannotBeMadeIsACommError) {
  fs::create_directories(folder_);
  FileLayer files;
  write_text(files, folder_ / "file", "x");
  EXPECT_THROW(EventWriter({.folder = folder_ / "file" / "sub", .host = "h"}), CommError);
}

}  // namespace
}  // namespace rehearse
