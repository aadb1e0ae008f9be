#include "data/speech/pack/packed_audio.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "data/speech/audio/sound_file.h"
#include "data/speech/pack/packed.h"
#include "data/speech/sound/byte_source.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr size_t kMostRowDigits = 9;
// A part that ends this close to the stored end is read to the end: durations in manifests are rounded.
constexpr double kEndSlackSeconds = 1e-3;
// A shard that failed is opened and summed up again after this long, then after twice as long, and so on.
constexpr double kFirstPause_s = 30;
constexpr double kLongestPause_s = 600;

std::vector<int16_t> int16_of(std::span<const std::byte> bytes) {
  std::vector<int16_t> grid(bytes.size() / 2);
  for (size_t i = 0; i < grid.size(); ++i)
    grid[i] = static_cast<int16_t>(std::to_integer<unsigned>(bytes[2 * i]) |
                                   (std::to_integer<unsigned>(bytes[2 * i + 1]) << 8));
  return grid;
}

struct Part {
  uint64_t first = 0;
  uint64_t count = 0;
};

}  // namespace

std::optional<PackedPath> parse_packed_path(const std::string& path) {
  const size_t hash = path.rfind('#');
  if (hash == std::string::npos || !path.substr(0, hash).ends_with(".h5")) return std::nullopt;
  const std::string digits = path.substr(hash + 1);
  const bool is_number =
      !digits.empty() && digits.size() <= kMostRowDigits && digits.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number) return std::nullopt;
  return PackedPath{path.substr(0, hash), std::stoull(digits)};
}

// One shard, opened by its first reader. One that failed fails again without another checksum for a while, and is whole
// again as soon as it can be opened: what failed may have been the network.
class PackedAudio::Shard {
 public:
  Shard(fs::path path, ReadLayer& files) : path_(std::move(path)), files_(files) {}

  const ShardLayout& layout() const {
    const std::lock_guard lock(mutex_);
    if (source_) return layout_;
    if (!failure_.empty() && files_.now_s() < retry_at_s_) throw DataError(failure_);
    open();
    return layout_;
  }

  // REQUIRES: layout() has returned.
  std::vector<int16_t> read(uint64_t row, Part part) const {
    const uint64_t start = layout_.audio_file_offset + layout_.index.offset[row];
    if (layout_.index.encoding[row] == static_cast<uint8_t>(PackEncoding::kInt16))
      return int16_of(read_bytes(start + 2 * part.first, 2 * part.count));
    const std::string name = path_.string() + "#" + std::to_string(row);
    std::vector<int16_t> grid = decode_flac(read_bytes(start, layout_.index.bytes[row]), name);
    if (grid.size() != layout_.index.samples[row])
      throw DataError(name, ": expected ", layout_.index.samples[row], " samples; found ", grid.size());
    const auto first = grid.begin() + static_cast<ptrdiff_t>(part.first);
    return {first, first + static_cast<ptrdiff_t>(part.count)};
  }

 private:
  void open() const {
    try {
      verify_shard(path_);
      auto source = std::make_unique<ByteSource>(path_.string(), files_);
      layout_ = read_shard_layout(path_);
      source_ = std::move(source);
    } catch (const DataError& failure) {
      failure_ = failure.what();
      retry_at_s_ = files_.now_s() + pause_s_;
      pause_s_ = std::min(2 * pause_s_, kLongestPause_s);
      throw;
    }
  }

  std::vector<std::byte> read_bytes(uint64_t offset, uint64_t count) const {
    std::vector<std::byte> bytes(count);
    const size_t done = source_->read_at(offset, bytes);
    if (done < count) throw DataError(path_.string(), ": expected ", count, " bytes at ", offset, "; found ", done);
    return bytes;
  }

  fs::path path_;
  ReadLayer& files_;
  mutable std::mutex mutex_;
  mutable std::string failure_;
  mutable double retry_at_s_ = 0;
  mutable double pause_s_ = kFirstPause_s;
  mutable ShardLayout layout_;
  mutable std::unique_ptr<const ByteSource> source_;
};

PackedAudio::PackedAudio(ReadLayer& files) : files_(files) {}
PackedAudio::~PackedAudio() = default;

const PackedAudio::Shard& PackedAudio::shard_at(const fs::path& path) const {
  const std::lock_guard lock(mutex_);
  auto& shard = shards_[path];
  if (!shard) shard = std::make_unique<Shard>(path, files_);
  return *shard;
}

namespace {

uint64_t samples_of(const ShardLayout& layout, const PackedPath& path) {
  if (path.row >= layout.index.size())
    throw DataError(path.shard.string(), ": expected an utterance below ", layout.index.size(), "; found #", path.row);
  return layout.index.samples[path.row];
}

Part part_of(uint64_t samples, int rate, double offset_s, double duration_s) {
  const double first = std::nearbyint(std::max(0.0, offset_s) * rate);
  if (!(first < static_cast<double>(samples))) return {};
  Part part{static_cast<uint64_t>(first), samples - static_cast<uint64_t>(first)};
  const double wanted = std::max(1.0, std::nearbyint(duration_s * rate));
  if (duration_s > 0 && wanted + kEndSlackSeconds * rate < static_cast<double>(part.count))
    part.count = static_cast<uint64_t>(wanted);
  return part;
}

}  // namespace

AudioClip PackedAudio::read(const PackedPath& path, double offset_s, double duration_s) const {
  const Shard& shard = shard_at(path.shard);
  const ShardLayout& layout = shard.layout();
  const uint64_t samples = samples_of(layout, path);
  const Part part = part_of(samples, layout.sample_rate_hz, offset_s, duration_s);
  if (part.count == 0)
    throw DataError(path.shard.string(), "#", path.row, ": expected audio at ", offset_s, " s; found only ", samples,
                    " samples");
  return {from_int16(shard.read(path.row, part)), layout.sample_rate_hz};
}

double PackedAudio::duration_s(const PackedPath& path) const {
  const ShardLayout& layout = shard_at(path.shard).layout();
  return static_cast<double>(samples_of(layout, path)) / layout.sample_rate_hz;
}

}  // namespace rehearse
