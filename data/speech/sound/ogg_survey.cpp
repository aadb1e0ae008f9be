// Ogg (Vorbis, Opus, FLAC): page after page. A link is a recording of its own; several stand behind each other in a
// file that was chained or joined. RFC 3533.
#include <algorithm>
#include <array>
#include <map>

#include "data/speech/sound/survey.h"

namespace rehearse {
namespace {

constexpr uint64_t kHeaderBytes = 27;
constexpr int kOpusRateHz = 48000;

// x^32 + x^26 + … + 1, highest bit first, as Ogg has it.
uint32_t checksum(std::span<const std::byte> page) {
  static constexpr auto kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i << 24;
      for (int bit = 0; bit < 8; ++bit) value = value << 1 ^ (value >> 31 != 0 ? 0x04C11DB7u : 0);
      table[i] = value;
    }
    return table;
  }();
  uint32_t sum = 0;
  for (size_t i = 0; i < page.size(); ++i) {
    const bool is_sum = i >= 22 && i < 26;  // counts as 0
    sum = sum << 8 ^ kTable[sum >> 24 ^ (is_sum ? 0 : std::to_integer<uint32_t>(page[i]))];
  }
  return sum;
}

struct Page {
  uint64_t bytes = 0;
  bool is_first = false, is_last = false;
  int64_t granule = -1;
  uint32_t stream = 0, sequence = 0;
  bool is_whole = false;   // its checksum is right
  int sample_rate_hz = 0;  // of the stream that it begins; 0: none with audio
};

// Of the codec whose identification header begins there.
int rate_of(std::span<const std::byte> packet) {
  const auto begins = [&](std::string_view text) {
    return packet.size() >= text.size() &&
           std::equal(text.begin(), text.end(), packet.begin(),
                      [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
  };
  if (begins("\x01vorbis")) return static_cast<int>(little_endian(packet, 12, 4));
  if (begins("OpusHead")) return kOpusRateHz;
  if (begins("\x7f"
             "FLAC"))
    return static_cast<int>(big_endian(packet, 27, 4) >> 12);
  return 0;
}

// The audio of one link.
struct Link {
  uint64_t begin = 0, end = 0;
  bool has_audio = false;  // the other fields are its stream's
  uint32_t stream = 0;
  double sample_rate_hz = 0;
  bool only_begins = true;  // no page yet but first ones
  bool is_closed = false;   // its last page was there
  uint32_t next_sequence = 0;
  int64_t first_granule = -1, last_granule = 0;
};

class OggWalk {
 public:
  explicit OggWalk(const ByteSource& source) : window_(source) {}

  std::optional<SoundSurvey> survey() {
    offset_ = skip_tags(window_, 0);
    if (!window_.has(offset_, "OggS")) return std::nullopt;
    while (offset_ < window_.size()) step();
    end_link();
    SoundSurvey survey;
    for (const Link& link : links_)
      if (link.has_audio) survey.pieces.push_back({{}, link.begin, link.end, true});
    if (survey.pieces.empty()) survey.pieces.push_back({{}, 0, window_.size(), true});
    survey.complaint = tally_.complaint(total_s_);
    return survey;
  }

 private:
  void step() {
    const auto page = page_at(offset_);
    if (!page) {
      skip_junk();
      return;
    }
    if (offset_ + page->bytes > window_.size()) {
      tally_.add_unknown(
          concat("expected a page of ", page->bytes, " bytes at byte ", offset_, ", found ", window_.size() - offset_));
      is_cut_ = true;
      offset_ = window_.size();
      return;
    }
    if (page->is_whole) take(*page);
    offset_ += page->bytes;
    if (!links_.empty()) links_.back().end = offset_;
  }

  std::optional<Page> page_at(uint64_t offset) {
    if (!window_.has(offset, "OggS")) return std::nullopt;
    const auto head = window_.at(offset, kHeaderBytes);
    if (head.size() < kHeaderBytes) return Page{kHeaderBytes};
    const uint64_t num_segments = little_endian(head, 26, 1);
    Page page;
    page.is_first = (little_endian(head, 5, 1) & 2) != 0;
    page.is_last = (little_endian(head, 5, 1) & 4) != 0;
    page.granule = static_cast<int64_t>(little_endian(head, 6, 8));
    page.stream = static_cast<uint32_t>(little_endian(head, 14, 4));
    page.sequence = static_cast<uint32_t>(little_endian(head, 18, 4));
    const auto stored_sum = static_cast<uint32_t>(little_endian(head, 22, 4));
    page.bytes = kHeaderBytes + num_segments;
    for (const std::byte segment : window_.at(offset + kHeaderBytes, num_segments))
      page.bytes += std::to_integer<uint64_t>(segment);
    const auto whole = window_.at(offset, page.bytes);
    page.is_whole = whole.size() == page.bytes && checksum(whole) == stored_sum;
    if (page.is_first)
      page.sample_rate_hz = rate_of(whole.subspan(std::min(whole.size(), kHeaderBytes + num_segments)));
    return page;
  }

  void take(const Page& page) {
    if (page.is_first) {
      if (links_.empty() || !links_.back().only_begins) {
        end_link();
        links_.push_back({offset_});
      }
      Link& link = links_.back();
      if (link.has_audio || page.sample_rate_hz <= 0) return;
      link.has_audio = true;
      link.stream = page.stream;
      link.sample_rate_hz = page.sample_rate_hz;
      link.next_sequence = page.sequence + 1;
      return;
    }
    if (links_.empty()) return;
    Link& link = links_.back();
    link.only_begins = false;
    if (!link.has_audio || page.stream != link.stream) return;
    expect_sequence(link, page);
    link.next_sequence = page.sequence + 1;
    link.is_closed = link.is_closed || page.is_last;
    if (page.granule < 0) return;
    if (link.first_granule < 0) link.first_granule = page.granule;
    link.last_granule = page.granule;
  }

  // Pages that are missing hold about as much as the one that is there.
  void expect_sequence(const Link& link, const Page& page) {
    const uint32_t lost = page.sequence - link.next_sequence;
    if (lost == 0 || page.granule < 0) return;
    const double passed_s = static_cast<double>(page.granule - link.last_granule) / link.sample_rate_hz;
    tally_.add(std::max(0.0, passed_s * lost / (lost + 1.0)),
               concat("expected page ", link.next_sequence, " before byte ", offset_, ", found page ", page.sequence));
  }

  void end_link() {
    if (links_.empty() || !links_.back().has_audio) return;
    const Link& link = links_.back();
    total_s_ += static_cast<double>(link.last_granule - std::max<int64_t>(0, link.first_granule)) / link.sample_rate_hz;
    if (!link.is_closed && !is_cut_)
      tally_.add_unknown(concat("expected a page marked as the last one, found none before byte ", link.end));
  }

  void skip_junk() {
    const uint64_t begin = offset_;
    while (offset_ < window_.size() && !window_.has(offset_, "OggS")) ++offset_;
    if (!links_.empty()) links_.back().end = begin;
  }

  ByteWindow window_;
  uint64_t offset_ = 0;
  std::vector<Link> links_;
  bool is_cut_ = false;
  MissingTally tally_;
  double total_s_ = 0;
};

}  // namespace

std::optional<SoundSurvey> survey_ogg(const ByteSource& source) {
  return OggWalk(source).survey();
}

}  // namespace rehearse
