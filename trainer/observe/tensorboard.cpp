#include "trainer/observe/tensorboard.h"

#include <array>
#include <bit>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  constexpr uint32_t kPolynomial = 0x82F63B78u;  // Castagnoli, bit-reversed
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}

uint32_t masked_crc(const std::string& bytes) {
  const uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return std::rotr(crc, 15) + 0xA282EAD8u;
}

template <class Unsigned>
void put_fixed(std::string& out, Unsigned value) {
  for (size_t i = 0; i < sizeof(Unsigned); ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xFF));
}

// Protocol Buffers encoding: a field is varint(number << 3 | wire type), then its value.
enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void put_key(std::string& out, uint32_t field, WireType type) {
  put_varint(out, field << 3 | type);
}

void put_bytes(std::string& out, uint32_t field, const std::string& bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

// Event: wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7.
std::string event_head(double wall_time, int64_t step) {
  std::string event;
  put_key(event, 1, kFixed64);
  put_fixed(event, std::bit_cast<uint64_t>(wall_time));
  put_key(event, 2, kVarint);
  put_varint(event, static_cast<uint64_t>(step));
  return event;
}

fs::path new_file_in(const EventWriter::Options& options) {
  const std::string name = concat("events.out.tfevents.", static_cast<int64_t>(options.wall_time), ".", options.host);
  fs::path path = options.folder / name;
  for (int i = 1; fs::exists(path); ++i) path = options.folder / concat(name, ".", i);
  return path;
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
  static constexpr std::array<uint32_t, 256> kTable = make_crc_table();
  uint32_t crc = ~0u;
  for (std::byte byte : bytes) crc = kTable[(crc ^ static_cast<uint32_t>(byte)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

std::string tf_record(const std::string& bytes) {
  std::string record;
  put_fixed(record, static_cast<uint64_t>(bytes.size()));
  put_fixed(record, masked_crc(record));
  record += bytes;
  put_fixed(record, masked_crc(bytes));
  return record;
}

EventWriter::EventWriter(const Options& options) {
  std::error_code error;
  fs::create_directories(options.folder, error);
  path_ = new_file_in(options);
  out_.open(path_, std::ios::binary);
  std::string version = event_head(options.wall_time, 0);
  put_bytes(version, 3, "brain.Event:2");
  write(version);
  if (options.first_step == 0) return;
  // SessionLog: status = 1, where START is 1. It makes the viewer drop what an earlier file holds from this step on.
  std::string session_log;
  put_key(session_log, 1, kVarint);
  put_varint(session_log, 1);
  std::string restart = event_head(options.wall_time, options.first_step);
  put_bytes(restart, 7, session_log);
  write(restart);
}

void EventWriter::scalar(const std::string& tag, int64_t step, double value, double wall_time) {
  std::string entry;  // Summary.Value: tag = 1, simple_value = 2
  put_bytes(entry, 1, tag);
  put_key(entry, 2, kFixed32);
  put_fixed(entry, std::bit_cast<uint32_t>(static_cast<float>(value)));
  summary(entry, step, wall_time);
}

void EventWriter::picture(const std::string& tag, int64_t step, const std::string& png, double wall_time) {
  std::string image;  // Summary.Image: encoded_image_string = 4; a viewer takes the size from there
  put_bytes(image, 4, png);
  std::string entry;  // Summary.Value: tag = 1, image = 4
  put_bytes(entry, 1, tag);
  put_bytes(entry, 4, image);
  summary(entry, step, wall_time);
}

void EventWriter::summary(const std::string& entry, int64_t step, double wall_time) {
  std::string summary;  // Summary: value = 1, repeated
  put_bytes(summary, 1, entry);
  std::string event = event_head(wall_time, step);
  put_bytes(event, 5, summary);
  write(event);
}

void EventWriter::write(const std::string& event) {
  const std::string record = tf_record(event);
  out_.write(record.data(), static_cast<std::streamsize>(record.size()));
  out_.flush();
  if (!out_) throw CommError(path_.string(), ": expected to write an event; found a full or missing disk");
}

}  // namespace rehearse
