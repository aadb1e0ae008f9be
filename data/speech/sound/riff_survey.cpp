// WAV and RF64: chunk after chunk. A recorder that was never stopped leaves a length of 0, or the largest there is.
#include <algorithm>

#include "data/speech/sound/survey.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

// Lengths from here on are what writers to a pipe put for "not known yet".
constexpr uint64_t kUnknownLength = 0x7FFF0000;
constexpr uint64_t kLongestFormat = 1 << 12;
constexpr uint64_t kMpegLayer3 = 0x55;

class RiffWalk {
 public:
  explicit RiffWalk(const ByteSource& source) : source_(source), window_(source) {}

  std::optional<SoundSurvey> survey() {
    offset_ = skip_tags(window_, 0);
    if (!begins_wave(offset_)) return std::nullopt;
    while (offset_ < window_.size()) step();
    SoundSurvey survey;
    const bool is_plain = pieces_.size() == 1 && !is_odd_;
    if (is_plain)
      survey.pieces.push_back({{}, 0, window_.size(), true});
    else
      survey.pieces = std::move(pieces_);
    survey.complaint = tally_.complaint(total_s_);
    if (survey.complaint.empty()) survey.complaint = inner_complaint_;
    return survey;
  }

 private:
  bool begins_wave(uint64_t offset) {
    return (window_.has(offset, "RIFF") || window_.has(offset, "RF64")) && window_.has(offset + 8, "WAVE");
  }

  static bool is_name(std::span<const std::byte> head) {
    return head.size() == 8 && std::all_of(head.begin(), head.begin() + 4, [](std::byte one) {
             return std::to_integer<int>(one) >= 0x20 && std::to_integer<int>(one) < 0x7F;
           });
  }

  void step() {
    if (begins_wave(offset_)) {
      is_odd_ = is_odd_ || offset_ > 0;
      long_data_ = 0;
      offset_ += 12;
      return;
    }
    const auto head = window_.at(offset_, 8);
    const uint64_t length = little_endian(head, 4, 4);
    if (!is_name(head)) {
      trail();
      return;
    }
    if (window_.has(offset_, "data")) {
      take_data(length);
      return;
    }
    if (window_.has(offset_, "ds64")) long_data_ = little_endian(window_.at(offset_ + 8, 28), 8, 8);
    if (window_.has(offset_, "fmt ") && length <= kLongestFormat) {
      const auto format = window_.at(offset_ + 8, static_cast<size_t>(length));
      format_.assign(format.begin(), format.end());
    }
    if (offset_ + 8 + length > window_.size() && !pieces_.empty()) {
      trail();
      return;
    }
    offset_ += 8 + length + length % 2;
  }

  // True when whole chunks fill the file from here to its end.
  bool holds_chunks(uint64_t offset) {
    while (offset < window_.size()) {
      const auto head = window_.at(offset, 8);
      if (!is_name(head)) return false;
      const uint64_t length = little_endian(head, 4, 4);
      offset += 8 + length + length % 2;
    }
    return offset <= window_.size() + 1;
  }

  double bytes_s() const { return static_cast<double>(std::max<uint64_t>(1, little_endian(format_, 8, 4))); }

  void take_data(uint64_t length) {
    const uint64_t begin = offset_ + 8, there = window_.size() - begin;
    const bool is_long = length == 0xFFFFFFFF && long_data_ > 0;
    if (is_long) length = long_data_;
    const bool is_open = length == 0 ? !holds_chunks(begin) : !is_long && length >= kUnknownLength && length > there;
    is_odd_ = is_odd_ || is_open;
    if (!is_open && length > there)
      tally_.add(static_cast<double>(length - there) / bytes_s(),
                 concat("expected ", length, " bytes of audio, found ", there));
    if (!is_open) total_s_ += static_cast<double>(length) / bytes_s();
    const uint64_t taken = is_open ? there : std::min(length, there);
    if (taken > 0) add_piece(begin, begin + taken);
    offset_ = begin + taken + (is_open ? 0 : taken % 2);
  }

  void add_piece(uint64_t begin, uint64_t end) {
    is_odd_ = is_odd_ || !pieces_.empty();
    if (little_endian(format_, 0, 2) == kMpegLayer3) {
      if (auto inner = survey_mpeg(source_, begin, end)) {
        is_odd_ = true;
        for (SoundPiece& piece : inner->pieces) pieces_.push_back(std::move(piece));
        inner_complaint_ = inner->complaint;
        return;
      }
    }
    const uint64_t frame_bytes = std::max<uint64_t>(1, little_endian(format_, 12, 2));
    end -= (end - begin) % frame_bytes;
    if (end > begin) pieces_.push_back({header(end - begin), begin, end, true});
  }

  // What is behind the last chunk. Padding and tags do not matter.
  void trail() {
    const uint64_t begin = skip_tags(window_, offset_), end = window_.size();
    uint64_t first = begin;
    while (first < end && std::to_integer<int>(window_.at(first, 1)[0]) == 0) ++first;
    offset_ = end;
    if (first >= end || pieces_.empty()) return;
    const double trailing_s = static_cast<double>(end - begin) / bytes_s();
    total_s_ += trailing_s;
    tally_.add(trailing_s,
               concat("expected the end at byte ", begin, ", as the header says, found ", end - begin, " bytes more"));
  }

  static void put(std::vector<std::byte>& bytes, std::string_view text) {
    for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  }
  static void put(std::vector<std::byte>& bytes, uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
  }

  // Of a file with this format and so many bytes of audio.
  std::vector<std::byte> header(uint64_t length) const {
    const bool is_long = length >= 0xFFFF0000;
    const uint64_t all = length + format_.size() + (is_long ? 64 : 32);
    std::vector<std::byte> bytes;
    put(bytes, is_long ? "RF64" : "RIFF");
    put(bytes, is_long ? 0xFFFFFFFF : all, 4);
    put(bytes, "WAVE");
    if (is_long) {
      put(bytes, "ds64");
      put(bytes, 28, 4);
      put(bytes, all, 8);
      put(bytes, length, 8);
      put(bytes, length, 8);
      put(bytes, 0, 4);
    }
    put(bytes, "fmt ");
    put(bytes, format_.size(), 4);
    bytes.insert(bytes.end(), format_.begin(), format_.end());
    if (format_.size() % 2 != 0) put(bytes, 0, 1);
    put(bytes, "data");
    put(bytes, is_long ? 0xFFFFFFFF : length, 4);
    return bytes;
  }

  const ByteSource& source_;
  ByteWindow window_;
  uint64_t offset_ = 0;
  uint64_t long_data_ = 0;  // length in ds64
  std::vector<std::byte> format_;
  std::vector<SoundPiece> pieces_;
  bool is_odd_ = false;  // not to be given to libsndfile as it is
  std::string inner_complaint_;
  MissingTally tally_;
  double total_s_ = 0;
};

}  // namespace

std::optional<SoundSurvey> survey_riff(const ByteSource& source) {
  return RiffWalk(source).survey();
}

}  // namespace rehearse
