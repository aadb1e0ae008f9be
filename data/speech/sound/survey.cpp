#include "data/speech/sound/survey.h"

#include <cstdio>

#include "data/speech/missing_audio.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr size_t kMostPieces = 10000;
constexpr uint64_t kId3v1Bytes = 128;
constexpr uint64_t kApeFooterBytes = 32;

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f s", seconds);
  return text;
}

}  // namespace

SoundSurvey survey_sound(const ByteSource& source) {
  for (const auto walk : {&survey_riff, &survey_sized, &survey_ogg, &survey_flac,
                          static_cast<std::optional<SoundSurvey> (*)(const ByteSource&)>(&survey_mpeg)}) {
    auto survey = walk(source);
    if (!survey) continue;
    if (survey->pieces.empty()) throw DataError(source.name(), ": expected audio; found a header and 0 samples");
    if (survey->pieces.size() > kMostPieces)
      throw DataError(source.name(), ": expected one recording; found ", survey->pieces.size(),
                      " fragments; the file is damaged all over");
    return *survey;
  }
  return {{{{}, 0, source.size(), true}}, ""};
}

uint64_t skip_tags(ByteWindow& window, uint64_t offset) {
  for (;;) {
    const auto head = window.at(offset, 32);
    if (head.size() >= 10 && window.has(offset, "ID3")) {
      uint64_t size = 0;  // seven bits of each byte
      for (size_t i = 6; i < 10; ++i) size = size << 7 | (std::to_integer<uint64_t>(head[i]) & 0x7F);
      const bool has_footer = (std::to_integer<unsigned>(head[5]) & 0x10) != 0;
      offset += 10 + size + (has_footer ? 10 : 0);
    } else if (window.has(offset, "TAG")) {
      offset += kId3v1Bytes;
    } else if (head.size() >= 32 && window.has(offset, "APETAGEX")) {
      const bool is_header = (little_endian(head, 20, 4) & 1u << 29) != 0;
      offset += kApeFooterBytes + (is_header ? little_endian(head, 12, 4) : 0);
    } else {
      return offset;
    }
  }
}

uint64_t end_before_tags(ByteWindow& window) {
  uint64_t end = window.size();
  if (end >= kId3v1Bytes && window.has(end - kId3v1Bytes, "TAG")) end -= kId3v1Bytes;
  if (end >= kApeFooterBytes && window.has(end - kApeFooterBytes, "APETAGEX")) {
    const auto footer = window.at(end - kApeFooterBytes, kApeFooterBytes);
    const bool has_header = (little_endian(footer, 20, 4) & 1u << 31) != 0;
    const uint64_t tag = little_endian(footer, 12, 4) + (has_header ? kApeFooterBytes : 0);
    if (tag <= end) end -= tag;
  }
  if (end >= 15 && window.has(end - 9, "LYRICS200")) {
    const auto digits = window.at(end - 15, 6);
    uint64_t size = 0;
    for (const std::byte digit : digits) size = size * 10 + (std::to_integer<uint64_t>(digit) - '0') % 10;
    if (size + 15 <= end) end -= size + 15;
  }
  return end;
}

void MissingTally::add(double missing_s, const std::string& what) {
  missing_s_ += missing_s;
  if (missing_s <= largest_s_) return;
  largest_s_ = missing_s;
  largest_ = what;
}

void MissingTally::add_unknown(const std::string& what) {
  if (!is_unknown_) largest_ = what;
  is_unknown_ = true;
  largest_s_ = 1e9;
}

std::string MissingTally::complaint(double total_s) const {
  if (is_unknown_) return "cut off: " + largest_;
  if (missing_s_ <= 0 || !is_missing(total_s, total_s - missing_s_)) return "";
  return concat("cut off or damaged, ", seconds_text(missing_s_), " missing: ", largest_);
}

}  // namespace rehearse
