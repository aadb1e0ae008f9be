#include "data/speech/sound/sound_handle.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rehearse {
namespace {

// The densest legal stream, FLAC of silence in 65,535-frame blocks, stays below this.
constexpr int64_t kMostFramesPerByte = 5000;

// Formats without any header, which libsndfile knows by their names.
SF_INFO headerless(const std::string& name) {
  SF_INFO info{};
  const bool is_gsm = name.ends_with(".gsm");
  if (!is_gsm && !name.ends_with(".vox")) return info;
  info.format = SF_FORMAT_RAW | (is_gsm ? SF_FORMAT_GSM610 : SF_FORMAT_VOX_ADPCM);
  info.samplerate = 8000;
  info.channels = 1;
  return info;
}

}  // namespace

SoundHandle::SoundHandle(const ByteSource& source, SoundPiece piece) : piece_(std::move(piece)), window_(source) {
  open();
  if (!is_open() && piece_.head.empty()) {
    info_ = headerless(source.name());
    if (info_.format != 0) open();
  }
}

SoundHandle::~SoundHandle() {
  if (is_open()) sf_close(file_);
}

void SoundHandle::open() {
  position_ = 0;
  SF_VIRTUAL_IO through = callbacks();
  file_ = sf_open_virtual(&through, SFM_READ, &info_, this);
  pass_on_failure();
}

bool SoundHandle::is_float() const {
  const int encoding = info_.format & SF_FORMAT_SUBMASK;
  return encoding == SF_FORMAT_FLOAT || encoding == SF_FORMAT_DOUBLE;
}

std::optional<int64_t> SoundHandle::promised_frames() const {
  if (info_.frames <= 0 || info_.frames > size() * kMostFramesPerByte) return std::nullopt;
  return info_.frames;
}

bool SoundHandle::seek(int64_t frame) {
  if (info_.seekable == 0 || !piece_.starts_at_zero) return false;
  const bool is_there = sf_seek(file_, frame, SEEK_SET) == frame;
  pass_on_failure();
  return is_there;
}

int64_t SoundHandle::read(std::span<float> interleaved) {
  const sf_count_t got =
      sf_readf_float(file_, interleaved.data(), static_cast<sf_count_t>(interleaved.size()) / info_.channels);
  pass_on_failure();
  return std::max<sf_count_t>(0, got);
}

int64_t SoundHandle::read(std::span<int16_t> interleaved) {
  const sf_count_t got =
      sf_readf_short(file_, interleaved.data(), static_cast<sf_count_t>(interleaved.size()) / info_.channels);
  pass_on_failure();
  return std::max<sf_count_t>(0, got);
}

// An exception must not pass through a library in C.
void SoundHandle::pass_on_failure() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

sf_count_t SoundHandle::size() const {
  return static_cast<sf_count_t>(piece_.head.size() + (piece_.end - piece_.begin));
}

sf_count_t SoundHandle::move(sf_count_t offset, int whence) {
  const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? position_ : size();
  if (base + offset < 0 || base + offset > size()) return -1;
  return position_ = base + offset;
}

sf_count_t SoundHandle::copy(void* to, sf_count_t count) {
  auto* out = static_cast<std::byte*>(to);
  const auto head = static_cast<sf_count_t>(piece_.head.size());
  const sf_count_t wanted = std::clamp<sf_count_t>(count, 0, size() - position_);
  sf_count_t done = 0;
  while (done < wanted) {
    constexpr sf_count_t kAtOnce = 1 << 14;
    std::span<const std::byte> bytes;
    if (position_ < head)
      bytes = std::span<const std::byte>(piece_.head).subspan(static_cast<size_t>(position_));
    else
      bytes = window_.at(piece_.begin + static_cast<uint64_t>(position_ - head),
                         static_cast<size_t>(std::min(kAtOnce, wanted - done)));
    bytes = bytes.first(std::min<size_t>(bytes.size(), static_cast<size_t>(wanted - done)));
    if (bytes.empty()) break;
    std::memcpy(out + done, bytes.data(), bytes.size());
    done += static_cast<sf_count_t>(bytes.size());
    position_ += static_cast<sf_count_t>(bytes.size());
  }
  return done;
}

SF_VIRTUAL_IO SoundHandle::callbacks() {
  SF_VIRTUAL_IO through{};
  through.get_filelen = [](void* user) { return static_cast<SoundHandle*>(user)->size(); };
  through.seek = [](sf_count_t offset, int whence, void* user) {
    return static_cast<SoundHandle*>(user)->move(offset, whence);
  };
  through.read = [](void* to, sf_count_t count, void* user) -> sf_count_t {
    auto* handle = static_cast<SoundHandle*>(user);
    try {
      return handle->copy(to, count);
    } catch (...) {
      handle->failure_ = std::current_exception();
      return 0;
    }
  };
  through.write = [](const void*, sf_count_t, void*) -> sf_count_t { return 0; };
  through.tell = [](void* user) { return static_cast<SoundHandle*>(user)->position_; };
  return through;
}

}  // namespace rehearse
