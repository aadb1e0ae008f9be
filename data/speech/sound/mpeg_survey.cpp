// MPEG audio (mp3, mp2): frame after frame. What counts as the end of a recording is the last frame, not what its Xing
// or Info header says, which may be absent, wrong, or that of the first of several joined files.
#include <algorithm>
#include <array>

#include "data/speech/sound/survey.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr uint64_t kLongestSearch = 1 << 16;  // for the first frame
constexpr int kConfirmations = 2;             // frames that must follow a first one

struct FrameHeader {
  int version = 0;  // 0: MPEG-2.5, 2: MPEG-2, 3: MPEG-1
  int layer = 0;    // 1, 2, 3
  int sample_rate_hz = 0;
  bool is_mono = false;
  uint64_t bytes = 0;
  int samples = 0;

  bool goes_on(const FrameHeader& other) const {
    return version == other.version && layer == other.layer && sample_rate_hz == other.sample_rate_hz &&
           is_mono == other.is_mono;
  }
  // Bytes before the main data of a layer III frame.
  size_t side_bytes() const { return version == 3 ? (is_mono ? 17 : 32) : (is_mono ? 9 : 17); }
};

std::optional<FrameHeader> parse(std::span<const std::byte> bytes) {
  static constexpr int kRates[3] = {44100, 48000, 32000};
  static constexpr int kKilobits[5][15] = {
      {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},  // MPEG-1, layer I
      {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},     // MPEG-1, layer II
      {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},      // MPEG-1, layer III
      {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},     // MPEG-2, layer I
      {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}};         // MPEG-2, layers II, III
  if (bytes.size() < 4) return std::nullopt;
  const auto word = static_cast<uint32_t>(big_endian(bytes, 0, 4));
  FrameHeader header;
  header.version = static_cast<int>(word >> 19 & 3);
  header.layer = 4 - static_cast<int>(word >> 17 & 3);
  const uint32_t bitrate = word >> 12 & 15, rate = word >> 10 & 3, padding = word >> 9 & 1;
  const bool is_header = word >> 21 == 0x7FF && header.version != 1 && header.layer != 4 && bitrate != 0 &&
                         bitrate != 15 && rate != 3 && (word & 3) != 2;
  if (!is_header) return std::nullopt;
  const bool is_mpeg1 = header.version == 3;
  header.sample_rate_hz = kRates[rate] >> (3 - std::max(1, header.version));
  header.is_mono = (word >> 6 & 3) == 3;
  const int row = is_mpeg1 ? header.layer - 1 : header.layer == 1 ? 3 : 4;
  const auto bits_s = static_cast<uint64_t>(kKilobits[row][bitrate]) * 1000;
  const auto hz = static_cast<uint64_t>(header.sample_rate_hz);
  header.samples = header.layer == 1 ? 384 : header.layer == 3 && !is_mpeg1 ? 576 : 1152;
  header.bytes = header.layer == 1 ? (12 * bits_s / hz + padding) * 4
                                   : static_cast<uint64_t>(header.samples) / 8 * bits_s / hz + padding;
  return header;
}

// Frames without a gap that belong together.
struct Run {
  FrameHeader format;
  uint64_t begin = 0, end = 0;
  uint64_t frames = 0;          // with audio
  std::vector<std::byte> info;  // its Xing or Info frame, if it has a number of frames
  uint64_t promised = 0;        // that number; 0: none
  uint64_t junk_bytes = 0;      // behind it
};

class MpegWalk {
 public:
  MpegWalk(const ByteSource& source, uint64_t begin, uint64_t end) : window_(source), offset_(begin), end_(end) {}

  std::optional<SoundSurvey> survey() {
    if (!find_first()) return std::nullopt;
    while (offset_ < end_) step();
    close();
    for (size_t begin = 0; begin < runs_.size();) {
      size_t end = begin + 1;
      while (end < runs_.size() && runs_[end].promised == 0) ++end;
      count(std::span(runs_).subspan(begin, end - begin));
      begin = end;
    }
    SoundSurvey survey;
    for (const Run& run : runs_)
      if (run.frames > 0) survey.pieces.push_back(piece_of(run));
    survey.complaint = tally_.complaint(total_s_);
    return survey;
  }

 private:
  static double seconds(const Run& run, uint64_t frames) {
    return static_cast<double>(frames) * run.format.samples / run.format.sample_rate_hz;
  }

  std::optional<FrameHeader> header_at(uint64_t offset) { return parse(window_.at(offset, 4)); }

  // Runs of which only the first promises anything: its promise is for all of them. Without one, what stands between
  // them counts.
  void count(std::span<const Run> runs) {
    const Run& first = runs[0];
    uint64_t found = 0;
    for (const Run& run : runs) {
      found += run.frames;
      total_s_ += seconds(run, run.frames);
    }
    if (first.promised > found) {
      const double lost_s = seconds(first, first.promised - found);
      total_s_ += lost_s;
      tally_.add(lost_s, concat("expected ", first.promised, " frames, found ", found));
    }
    if (first.promised > 0) return;
    for (const Run& run : runs) {
      if (run.junk_bytes == 0 || run.frames == 0) continue;
      const double lost_s =
          seconds(run, run.frames) * static_cast<double>(run.junk_bytes) / static_cast<double>(run.end - run.begin);
      total_s_ += lost_s;
      tally_.add(lost_s, concat("expected frames of MPEG audio at byte ", run.end, ", found ", run.junk_bytes,
                                " bytes of something else"));
    }
  }

  // A header followed by others of its kind, or by the end.
  std::optional<FrameHeader> confirmed_at(uint64_t offset) {
    const auto first = header_at(offset);
    if (!first) return std::nullopt;
    uint64_t next = offset + first->bytes;
    for (int i = 0; i < kConfirmations; ++i) {
      if (next >= end_) return next == end_ ? first : std::nullopt;
      if (skip_tags(window_, next) != next) return first;
      const auto header = header_at(next);
      if (!header || !header->goes_on(*first)) return std::nullopt;
      next += header->bytes;
    }
    return first;
  }

  bool find_first() {
    offset_ = skip_tags(window_, offset_);
    const uint64_t last = std::min(end_, offset_ + kLongestSearch);
    while (offset_ < last && !confirmed_at(offset_)) ++offset_;
    return offset_ < last;
  }

  void step() {
    const auto header = header_at(offset_);
    const bool goes_on = is_open_ && header && header->goes_on(runs_.back().format);
    if (goes_on || confirmed_at(offset_)) {
      take(*header);
      return;
    }
    close();
    const uint64_t behind_tags = skip_tags(window_, offset_);
    if (behind_tags != offset_)
      offset_ = behind_tags;
    else
      skip_junk();
  }

  void take(const FrameHeader& header) {
    if (offset_ + header.bytes > end_) {  // the last frame is cut
      close();
      offset_ = end_;
      return;
    }
    const bool is_info = is_info_frame(header);
    if (is_info || !is_open_ || !header.goes_on(runs_.back().format)) {
      close();
      runs_.push_back({header, offset_, 0, 0, {}, 0, 0});
      is_open_ = true;
    }
    Run& run = runs_.back();
    if (is_info)
      read_info(run, header);
    else
      ++run.frames;
    offset_ += header.bytes;
    run.end = offset_;
  }

  void close() { is_open_ = false; }

  bool is_info_frame(const FrameHeader& header) {
    if (header.layer != 3) return false;
    const uint64_t at = offset_ + 4 + header.side_bytes();
    return window_.has(at, "Xing") || window_.has(at, "Info") || window_.has(offset_ + 36, "VBRI");
  }

  void read_info(Run& run, const FrameHeader& header) {
    const auto frame = window_.at(offset_, static_cast<size_t>(header.bytes));
    const size_t tag = 4 + header.side_bytes();
    run.begin = offset_ + header.bytes;
    if (window_.has(offset_ + 36, "VBRI")) {
      run.promised = big_endian(frame, 36 + 14, 4);
    } else if (frame.size() >= tag + 16 && (big_endian(frame, tag + 4, 4) & 1) != 0) {
      run.promised = big_endian(frame, tag + 8, 4);
      run.info.assign(frame.begin(), frame.end());
    }
  }

  void skip_junk() {
    const uint64_t begin = offset_;
    bool is_padding = true;
    while (offset_ < end_ && !confirmed_at(offset_) && skip_tags(window_, offset_) == offset_) {
      is_padding = is_padding && std::to_integer<int>(window_.at(offset_, 1)[0]) == 0;
      ++offset_;
    }
    if (!is_padding && !runs_.empty()) runs_.back().junk_bytes += offset_ - begin;
  }

  // With a header that promises what is there, since mpg123 believes it, and else guesses from the first frame.
  SoundPiece piece_of(const Run& run) {
    SoundPiece piece{{}, run.begin, run.end, true};
    if (run.format.layer != 3) return piece;
    piece.is_counted = true;
    if (run.info.empty()) {
      piece.head = info_frame(run);
      return piece;
    }
    piece.head = run.info;
    if (run.promised == run.frames) return piece;
    const size_t tag = 4 + run.format.side_bytes();
    put(piece.head, tag + 8, run.frames);
    if ((big_endian(run.info, tag + 4, 4) & 2) != 0) put(piece.head, tag + 12, run.info.size() + run.end - run.begin);
    return piece;
  }

  static void put(std::vector<std::byte>& frame, size_t at, uint64_t value) {
    for (size_t i = 0; i < 4; ++i) frame.at(at + i) = static_cast<std::byte>(value >> (24 - 8 * i));
  }

  std::vector<std::byte> info_frame(const Run& run) {
    const auto first = window_.at(run.begin, 4);
    std::array<std::byte, 4> head{first[0], first[1], first[2], first[3]};
    // Without checksum and padding, at a bitrate with room enough.
    head[1] |= std::byte{1};
    head[2] = (head[2] & std::byte{0x0C}) | std::byte{0x90};
    const auto header = parse(head);
    REHEARSE_CHECK(header, "another bitrate of a frame that is there is a bitrate");
    std::vector<std::byte> frame(static_cast<size_t>(header->bytes));
    std::copy(head.begin(), head.end(), frame.begin());
    const size_t tag = 4 + header->side_bytes();
    put(frame, tag, 0x496E666F);  // "Info"
    put(frame, tag + 4, 1);       // only the number of frames
    put(frame, tag + 8, run.frames);
    return frame;
  }

  ByteWindow window_;
  uint64_t offset_, end_;
  std::vector<Run> runs_;
  bool is_open_ = false;  // the last run goes on here
  MissingTally tally_;
  double total_s_ = 0;
};

}  // namespace

std::optional<SoundSurvey> survey_mpeg(const ByteSource& source) {
  ByteWindow window(source);
  return survey_mpeg(source, 0, end_before_tags(window));
}

std::optional<SoundSurvey> survey_mpeg(const ByteSource& source, uint64_t begin, uint64_t end) {
  return MpegWalk(source, begin, end).survey();
}

}  // namespace rehearse
