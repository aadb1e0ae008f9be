// FLAC: frame after frame, each with a checksum of its header and of itself, and the number of its first sample. RFC
// 9639.
#include <algorithm>
#include <array>

#include "data/speech/sound/survey.h"

namespace rehearse {
namespace {

constexpr uint64_t kInfoBytes = 34;
constexpr size_t kMostHeaderBytes = 16;
constexpr size_t kScanBytes = 1 << 15;

constexpr auto kFrameTable = [] {  // x^16 + x^15 + x^2 + 1
  std::array<uint16_t, 256> table{};
  for (unsigned i = 0; i < 256; ++i) {
    unsigned value = i << 8;
    for (int bit = 0; bit < 8; ++bit) value = value << 1 ^ ((value & 0x8000) != 0 ? 0x8005u : 0);
    table[i] = static_cast<uint16_t>(value);
  }
  return table;
}();

uint8_t header_checksum(std::span<const std::byte> bytes) {  // x^8 + x^2 + x + 1
  unsigned sum = 0;
  for (const std::byte one : bytes) {
    sum ^= std::to_integer<unsigned>(one);
    for (int bit = 0; bit < 8; ++bit) sum = sum << 1 ^ ((sum & 0x80) != 0 ? 0x107u : 0);
  }
  return static_cast<uint8_t>(sum);
}

struct StreamInfo {
  std::vector<std::byte> bytes;
  uint64_t block_samples = 0;  // of every frame; 0: they differ
  double sample_rate_hz = 1;
  uint64_t total_samples = 0;  // 0: unknown
};

struct Frame {
  uint64_t first_sample = 0;
  uint64_t samples = 0;
};

// A frame's header, checked by its checksum.
std::optional<Frame> parse(std::span<const std::byte> bytes, const StreamInfo& info) {
  const auto at = [&](size_t i) { return i < bytes.size() ? std::to_integer<unsigned>(bytes[i]) : 0; };
  if (at(0) != 0xFF || (at(1) & 0xFE) != 0xF8) return std::nullopt;
  const unsigned size_code = at(2) >> 4, rate_code = at(2) & 15;
  if (size_code == 0 || rate_code == 15 || at(3) >> 4 > 10 || (at(3) & 1) != 0) return std::nullopt;
  unsigned more = 0;  // bytes of the number after the first, coded as UTF-8 is
  while (more < 7 && (at(4) & 0x80u >> more) != 0) ++more;
  if (more == 1) return std::nullopt;
  uint64_t number = more == 0 ? at(4) : at(4) & (0x7Fu >> more);
  size_t next = 5;
  for (; next < 4 + std::max(1u, more); ++next) {
    if ((at(next) & 0xC0) != 0x80) return std::nullopt;
    number = number << 6 | (at(next) & 0x3F);
  }
  Frame frame;
  if (size_code == 1) frame.samples = 192;
  if (size_code >= 2 && size_code <= 5) frame.samples = 576u << (size_code - 2);
  if (size_code >= 8) frame.samples = 256u << (size_code - 8);
  if (size_code == 6) frame.samples = at(next) + 1;
  if (size_code == 7) frame.samples = (at(next) << 8 | at(next + 1)) + 1;
  next += size_code == 6 ? 1 : size_code == 7 ? 2 : 0;
  next += rate_code == 12 ? 1 : rate_code == 13 || rate_code == 14 ? 2 : 0;
  if (next >= bytes.size() || header_checksum(bytes.first(next)) != at(next)) return std::nullopt;
  const bool is_numbered_by_sample = (at(1) & 1) != 0;
  frame.first_sample =
      is_numbered_by_sample ? number : number * (info.block_samples > 0 ? info.block_samples : frame.samples);
  return frame;
}

// A frame that has begun; its checksum over all its bytes is 0 once it is complete.
struct OpenFrame {
  Frame frame;
  uint64_t begin = 0;
  uint16_t sum = 0;
  bool is_open = false;

  void take(unsigned byte) {
    if (is_open) sum = static_cast<uint16_t>(sum << 8 ^ kFrameTable[(sum >> 8 ^ byte) & 0xFF]);
  }
};

class FlacWalk {
 public:
  explicit FlacWalk(const ByteSource& source) : window_(source), end_(end_before_tags(window_)) {}

  std::optional<SoundSurvey> survey() {
    uint64_t offset = skip_tags(window_, 0);
    if (!window_.has(offset, "fLaC")) return std::nullopt;
    begin_ = offset;
    while (offset < end_ && window_.has(offset, "fLaC")) offset = walk_stream(offset);
    SoundSurvey survey;
    survey.complaint = tally_.complaint(total_s_);
    const bool is_plain = pieces_.size() == 1 && !is_odd_;
    if (is_plain)
      survey.pieces.push_back({{}, begin_, end_, true});
    else
      survey.pieces = std::move(pieces_);
    return survey;
  }

 private:
  // One stream from its marker on; where the next begins, or the end.
  uint64_t walk_stream(uint64_t offset) {
    offset = read_metadata(offset + 4);
    is_odd_ = is_odd_ || !pieces_.empty();
    next_sample_ = 0;
    run_begin_ = offset;
    main_ = maybe_ = {};
    while (offset < end_) {
      const auto bytes = window_.at(offset, kScanBytes + kMostHeaderBytes);
      const size_t count = std::min<size_t>({bytes.size(), kScanBytes, static_cast<size_t>(end_ - offset)});
      if (count == 0) break;
      for (size_t i = 0; i < count; ++i) {
        const auto byte = std::to_integer<unsigned>(bytes[i]);
        if (byte == 0xFF) look(offset + i, bytes.subspan(i));
        if (byte == 'f' && begins_stream(offset + i)) {
          finish(offset + i);
          return offset + i;
        }
        main_.take(byte);
        maybe_.take(byte);
      }
      offset += count;
    }
    finish(end_);
    return end_;
  }

  bool begins_stream(uint64_t offset) {
    if (!(main_.is_open && main_.sum == 0)) return false;
    ByteWindow beside = window_;  // the scan still looks at the first
    return beside.has(offset, "fLaC");
  }

  uint64_t read_metadata(uint64_t offset) {
    info_ = {};
    for (bool is_last = false; !is_last && offset < end_;) {
      const auto head = window_.at(offset, 4 + kInfoBytes);
      const uint64_t kind = little_endian(head, 0, 1), length = big_endian(head, 1, 3);
      is_last = (kind & 0x80) != 0;
      if ((kind & 0x7F) == 0 && head.size() == 4 + kInfoBytes) {
        info_.bytes.assign(head.begin() + 4, head.end());
        const uint64_t smallest = big_endian(head, 4, 2), largest = big_endian(head, 6, 2);
        info_.block_samples = smallest == largest ? largest : 0;
        info_.sample_rate_hz = std::max(1.0, static_cast<double>(big_endian(head, 14, 4) >> 12));
        info_.total_samples = big_endian(head, 17, 5) & 0xFFFFFFFFF;
      }
      offset += 4 + length;
    }
    return offset;
  }

  // Does a frame begin here? Then the one before is complete, or damaged.
  void look(uint64_t offset, std::span<const std::byte> bytes) {
    const auto frame = parse(bytes.first(std::min(bytes.size(), kMostHeaderBytes)), info_);
    if (!frame) return;
    if (main_.is_open && main_.sum == 0) {
      accept(main_, offset);
      main_ = {*frame, offset, 0, true};
      maybe_ = {};
    } else if (maybe_.is_open && maybe_.sum == 0) {
      accept(maybe_, offset);
      main_ = {*frame, offset, 0, true};
      maybe_ = {};
    } else if (!main_.is_open) {
      main_ = {*frame, offset, 0, true};
    } else {
      maybe_ = {*frame, offset, 0, true};
    }
  }

  static uint64_t end_of(const OpenFrame& open) { return open.frame.first_sample + open.frame.samples; }

  // A complete frame; a gap before it ends the run.
  void accept(const OpenFrame& open, uint64_t end) {
    if (open.frame.first_sample > next_sample_) {
      add_run();
      lose(open.frame.first_sample - next_sample_, open.begin);
      run_begin_ = open.begin;
      run_first_ = open.frame.first_sample;
    }
    run_end_ = end;
    total_s_ += static_cast<double>(open.frame.samples) / info_.sample_rate_hz;
    next_sample_ = end_of(open);
  }

  void lose(uint64_t samples, uint64_t before) {
    const double lost_s = static_cast<double>(samples) / info_.sample_rate_hz;
    total_s_ += lost_s;
    tally_.add(lost_s, concat("expected a frame with sample ", next_sample_, ", found none before byte ", before));
  }

  void finish(uint64_t end) {
    if (main_.is_open && main_.sum == 0)
      accept(main_, end);
    else if (maybe_.is_open && maybe_.sum == 0)
      accept(maybe_, end);
    else if (main_.is_open && info_.total_samples == 0)
      tally_.add_unknown(
          concat("expected a whole frame at byte ", main_.begin, ", found ", end - main_.begin, " bytes"));
    add_run();
    if (info_.total_samples > next_sample_) {
      const double lost_s = static_cast<double>(info_.total_samples - next_sample_) / info_.sample_rate_hz;
      total_s_ += lost_s;
      tally_.add(lost_s, concat("expected ", info_.total_samples, " frames, found ", next_sample_));
    }
    is_odd_ = is_odd_ || (info_.total_samples != 0 && info_.total_samples != next_sample_);
    run_first_ = 0;
    run_end_ = 0;
  }

  // With a header that promises nothing: libsndfile reads to the end.
  void add_run() {
    is_odd_ = is_odd_ || run_first_ > 0;
    if (run_end_ <= run_begin_ || info_.bytes.empty()) return;
    SoundPiece piece{{}, run_begin_, run_end_, run_first_ == 0};
    for (const char c : std::string_view("fLaC\x80\0\0\x22", 8)) piece.head.push_back(static_cast<std::byte>(c));
    piece.head.insert(piece.head.end(), info_.bytes.begin(), info_.bytes.end());
    constexpr size_t kTotal = 8 + 13;  // four bits and four bytes, then the sum of all samples
    piece.head[kTotal] &= std::byte{0xF0};
    std::fill(piece.head.begin() + kTotal + 1, piece.head.end(), std::byte{0});
    pieces_.push_back(std::move(piece));
    run_end_ = 0;
  }

  ByteWindow window_;
  uint64_t end_;
  uint64_t begin_ = 0;
  StreamInfo info_;
  OpenFrame main_, maybe_;  // the frame we are in, and one that may have begun inside a damaged one
  uint64_t next_sample_ = 0;
  uint64_t run_begin_ = 0, run_end_ = 0, run_first_ = 0;
  std::vector<SoundPiece> pieces_;
  bool is_odd_ = false;  // not to be given to libsndfile as it is
  MissingTally tally_;
  double total_s_ = 0;
};

}  // namespace

std::optional<SoundSurvey> survey_flac(const ByteSource& source) {
  return FlacWalk(source).survey();
}

}  // namespace rehearse
