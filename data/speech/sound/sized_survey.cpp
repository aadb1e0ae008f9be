// AIFF, AU and Wave64: the header states one length, to be compared with the file's.
#include <algorithm>
#include <cmath>

#include "data/speech/sound/survey.h"

namespace rehearse {
namespace {

// Of the audio data: where it begins, what is stated, and how long it would last.
struct Stated {
  uint64_t begin = 0;
  uint64_t bytes = 0;
  double seconds = 0;
};

SoundSurvey compared(const ByteSource& source, const Stated& stated) {
  SoundSurvey survey{{{{}, 0, source.size(), true}}, ""};
  const uint64_t there = source.size() - std::min(source.size(), stated.begin);
  if (stated.bytes <= there) return survey;
  MissingTally tally;
  tally.add(stated.seconds * static_cast<double>(stated.bytes - there) / static_cast<double>(stated.bytes),
            concat("expected ", stated.bytes, " bytes of audio, found ", there));
  survey.complaint = tally.complaint(stated.seconds);
  return survey;
}

// The 80-bit number of Apple's formats.
double extended(std::span<const std::byte> bytes, size_t at) {
  const int exponent = static_cast<int>(big_endian(bytes, at, 2) & 0x7FFF) - 16383 - 63;
  return std::ldexp(static_cast<double>(big_endian(bytes, at + 2, 8)), exponent);
}

std::optional<Stated> stated_aiff(ByteWindow& window) {
  if (!window.has(0, "FORM") || !(window.has(8, "AIFF") || window.has(8, "AIFC"))) return std::nullopt;
  Stated stated;
  for (uint64_t offset = 12; offset < window.size();) {
    const auto head = window.at(offset, 34);
    const uint64_t length = big_endian(head, 4, 4);
    if (window.has(offset, "COMM")) {
      const double rate_hz = extended(head, 16);
      if (rate_hz > 0) stated.seconds = static_cast<double>(big_endian(head, 10, 4)) / rate_hz;
    }
    if (window.has(offset, "SSND")) {
      stated.begin = offset + 8;
      stated.bytes = length;
    }
    offset += 8 + length + length % 2;
  }
  return stated;
}

std::optional<Stated> stated_au(ByteWindow& window) {
  if (!window.has(0, ".snd")) return std::nullopt;
  static constexpr int kBytesPerSample[] = {0, 1, 1, 2, 3, 4, 4, 8};
  const auto head = window.at(0, 24);
  const uint64_t bytes = big_endian(head, 8, 4), encoding = big_endian(head, 12, 4);
  if (bytes == 0xFFFFFFFF) return Stated{};
  const int sample_bytes = encoding < std::size(kBytesPerSample) ? std::max(1, kBytesPerSample[encoding]) : 1;
  const double bytes_s = static_cast<double>(big_endian(head, 16, 4) * big_endian(head, 20, 4)) * sample_bytes;
  return Stated{big_endian(head, 4, 4), bytes, static_cast<double>(bytes) / std::max(1.0, bytes_s)};
}

std::optional<Stated> stated_wave64(ByteWindow& window) {
  if (!window.has(0, "riff") || !window.has(24, "wave")) return std::nullopt;
  Stated stated;
  double bytes_s = 1;
  for (uint64_t offset = 40; offset < window.size();) {
    const auto head = window.at(offset, 40);
    const uint64_t length = little_endian(head, 16, 8);  // with its 24 bytes of head
    if (length < 24 || length > window.size() * 1000) break;
    if (window.has(offset, "fmt ")) bytes_s = std::max(1.0, static_cast<double>(little_endian(head, 32, 4)));
    if (window.has(offset, "data")) stated = {offset + 24, length - 24, static_cast<double>(length - 24) / bytes_s};
    offset += (length + 7) / 8 * 8;
  }
  return stated;
}

}  // namespace

std::optional<SoundSurvey> survey_sized(const ByteSource& source) {
  ByteWindow window(source);
  for (const auto look : {&stated_aiff, &stated_au, &stated_wave64})
    if (const auto stated = look(window)) return compared(source, *stated);
  return std::nullopt;
}

}  // namespace rehearse
