#include "data/sound_file.h"

#include <sndfile.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "trainer/base/error.h"
#include "trainer/base/files.h"

namespace rehearse {
namespace {

constexpr int kLowestRateHz = 1000;
constexpr int kHighestRateHz = 768000;
constexpr int64_t kBlockFrames = 8192;
// Float files may exceed full scale a little; far beyond it the samples are no [-1, 1] audio at all.
constexpr float kHighestPeak = 16.0f;
// The densest legal stream, FLAC of silence in 65,535-frame blocks, stays below this.
constexpr int64_t kMostFramesPerByte = 5000;
constexpr double kLongestReadHours = 3;

// libsndfile's virtual file over bytes we read (`input`) or write (`output`).
struct MemoryFile {
  std::span<const std::byte> input;
  std::vector<std::byte> output;
  sf_count_t position = 0;
  bool is_output = false;

  sf_count_t size() const { return static_cast<sf_count_t>(is_output ? output.size() : input.size()); }

  static MemoryFile& of(void* user) { return *static_cast<MemoryFile*>(user); }
  static sf_count_t length(void* user) { return of(user).size(); }
  static sf_count_t tell(void* user) { return of(user).position; }

  static sf_count_t seek(sf_count_t offset, int whence, void* user) {
    MemoryFile& file = of(user);
    const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file.position : file.size();
    const sf_count_t target = base + offset;
    if (target < 0 || target > file.size()) return -1;
    return file.position = target;
  }

  static sf_count_t read(void* to, sf_count_t count, void* user) {
    MemoryFile& file = of(user);
    const sf_count_t taken = std::clamp<sf_count_t>(count, 0, file.size() - file.position);
    const std::byte* from = (file.is_output ? file.output.data() : file.input.data()) + file.position;
    if (taken > 0) std::memcpy(to, from, static_cast<size_t>(taken));
    file.position += taken;
    return taken;
  }

  static sf_count_t write(const void* from, sf_count_t count, void* user) {
    MemoryFile& file = of(user);
    if (!file.is_output || count <= 0) return 0;
    const auto end = static_cast<size_t>(file.position + count);
    if (file.output.size() < end) file.output.resize(end);
    std::memcpy(file.output.data() + file.position, from, static_cast<size_t>(count));
    file.position += count;
    return count;
  }

  static SF_VIRTUAL_IO callbacks() { return {&length, &seek, &read, &write, &tell}; }
};

struct CloseSound {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using SoundPointer = std::unique_ptr<SNDFILE, CloseSound>;

uint64_t expect_content(const std::string& path) {
  std::error_code failure;
  if (!fs::is_regular_file(path, failure)) throw DataError(path, ": expected an audio file; found no such file");
  const uint64_t bytes = fs::file_size(path, failure);
  if (failure) throw DataError(path, ": expected an audio file; found ", failure.message());
  if (bytes == 0) throw DataError(path, ": expected an audio file; found 0 bytes");
  return bytes;
}

void expect_finite(const std::string& name, std::span<const float> samples) {
  for (float sample : samples) {
    if (!std::isfinite(sample)) throw DataError(name, ": expected finite samples; found NaN or infinity");
    if (std::abs(sample) > kHighestPeak)
      throw DataError(name, ": expected samples in [-1, 1]; found ", sample, "; scale the file to full scale 1");
  }
}

}  // namespace

struct SoundFile::Handle {
  std::string name;
  MemoryFile memory;
  SF_INFO info{};
  uint64_t num_bytes = 0;
  SoundPointer file;

  void expect_open(const std::string& reason) {
    if (!file) throw DataError(name, ": expected audio that libsndfile reads; found: ", reason);
    if (info.samplerate < kLowestRateHz || info.samplerate > kHighestRateHz)
      throw DataError(name, ": expected a sample rate from ", kLowestRateHz, " to ", kHighestRateHz, " Hz; found ",
                      info.samplerate);
    if (info.channels < 1) throw DataError(name, ": expected at least 1 channel; found ", info.channels);
  }

  std::optional<int64_t> promised_frames() const {
    const auto most = static_cast<int64_t>(num_bytes) * kMostFramesPerByte;
    if (info.frames <= 0 || info.frames > most) return std::nullopt;
    return info.frames;
  }
};

SoundFile::SoundFile(const std::string& path) : handle_(std::make_unique<Handle>()) {
  handle_->name = path;
  handle_->num_bytes = expect_content(path);
  handle_->file.reset(sf_open(path.c_str(), SFM_READ, &handle_->info));
  handle_->expect_open(sf_strerror(nullptr));
}

SoundFile::SoundFile(std::span<const std::byte> bytes, const std::string& name) : handle_(std::make_unique<Handle>()) {
  handle_->name = name;
  handle_->num_bytes = bytes.size();
  handle_->memory.input = bytes;
  SF_VIRTUAL_IO callbacks = MemoryFile::callbacks();
  handle_->file.reset(sf_open_virtual(&callbacks, SFM_READ, &handle_->info, &handle_->memory));
  handle_->expect_open(sf_strerror(nullptr));
}

SoundFile::~SoundFile() = default;
SoundFile::SoundFile(SoundFile&&) noexcept = default;

int SoundFile::sample_rate_hz() const {
  return handle_->info.samplerate;
}
int SoundFile::num_channels() const {
  return handle_->info.channels;
}

int64_t SoundFile::count_frames() {
  SNDFILE* file = handle_->file.get();
  std::vector<float> block(static_cast<size_t>(kBlockFrames) * handle_->info.channels);
  if (const auto promised = handle_->promised_frames(); promised && handle_->info.seekable) {
    const bool has_last =
        sf_seek(file, *promised - 1, SEEK_SET) == *promised - 1 && sf_readf_float(file, block.data(), 1) == 1;
    if (has_last) return *promised;
  }
  // Reopening clears the error that a failed seek leaves behind.
  SoundFile again =
      handle_->memory.input.empty() ? SoundFile(handle_->name) : SoundFile(handle_->memory.input, handle_->name);
  const auto most = static_cast<int64_t>(handle_->num_bytes) * kMostFramesPerByte;
  int64_t counted = 0;
  while (counted <= most) {
    const sf_count_t got = sf_readf_float(again.handle_->file.get(), block.data(), kBlockFrames);
    if (got <= 0) break;
    counted += got;
  }
  return counted;
}

void SoundFile::seek(int64_t frame) {
  if (frame == 0) return;
  SNDFILE* file = handle_->file.get();
  if (const auto promised = handle_->promised_frames(); promised && frame >= *promised)
    throw DataError(handle_->name, ": offset: expected less than ", *promised, " frames; found ", frame);
  if (handle_->info.seekable && sf_seek(file, frame, SEEK_SET) == frame) return;
  throw DataError(handle_->name, ": offset: expected to reach frame ", frame, "; found ", sf_strerror(file));
}

std::vector<float> SoundFile::read_mono(int64_t max_frames, int channel) {
  const int channels = handle_->info.channels;
  if (channel >= channels)
    throw DataError(handle_->name, ": channel: expected less than ", channels, ", the channels of the file; found ",
                    channel);
  const int first = channel < 0 ? 0 : channel;
  const int last = channel < 0 ? channels : channel + 1;
  const auto longest = static_cast<int64_t>(kLongestReadHours * 3600 * handle_->info.samplerate);
  std::vector<float> block(static_cast<size_t>(kBlockFrames) * channels);
  std::vector<float> mono;
  if (const auto promised = handle_->promised_frames())
    mono.reserve(static_cast<size_t>(std::min({max_frames, *promised, longest})));
  while (static_cast<int64_t>(mono.size()) < max_frames) {
    const int64_t wanted = std::min<int64_t>(kBlockFrames, max_frames - static_cast<int64_t>(mono.size()));
    const sf_count_t got = sf_readf_float(handle_->file.get(), block.data(), wanted);
    if (got <= 0) break;
    expect_finite(handle_->name, std::span(block).first(static_cast<size_t>(got) * channels));
    for (sf_count_t i = 0; i < got; ++i) {
      float sum = 0;
      for (int c = first; c < last; ++c) sum += block[static_cast<size_t>(i) * channels + c];
      mono.push_back(std::clamp(sum / static_cast<float>(last - first), -1.0f, 1.0f));
    }
    if (static_cast<int64_t>(mono.size()) > longest)
      throw DataError(handle_->name, ": expected at most ", kLongestReadHours,
                      " hours in one piece; found more; cut it with `offset` and `duration`");
  }
  return mono;
}

std::vector<int16_t> SoundFile::read_int16(int64_t max_frames) {
  if (handle_->info.channels != 1 || (handle_->info.format & SF_FORMAT_SUBMASK) != SF_FORMAT_PCM_16)
    throw DataError(handle_->name, ": expected one channel of 16 bits; found ", handle_->info.channels, " channels");
  std::vector<int16_t> samples;
  std::vector<int16_t> block(static_cast<size_t>(kBlockFrames));
  while (static_cast<int64_t>(samples.size()) < max_frames) {
    const int64_t wanted = std::min<int64_t>(kBlockFrames, max_frames - static_cast<int64_t>(samples.size()));
    const sf_count_t got = sf_readf_short(handle_->file.get(), block.data(), wanted);
    if (got <= 0) break;
    samples.insert(samples.end(), block.begin(), block.begin() + got);
  }
  return samples;
}

std::vector<std::byte> encode_flac(std::span<const int16_t> samples, int sample_rate_hz) {
  MemoryFile memory;
  memory.is_output = true;
  SF_INFO info{};
  info.samplerate = sample_rate_hz;
  info.channels = 1;
  info.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  SF_VIRTUAL_IO callbacks = MemoryFile::callbacks();
  SoundPointer file(sf_open_virtual(&callbacks, SFM_WRITE, &info, &memory));
  if (!file)
    throw DataError("flac encoder: expected to start at ", sample_rate_hz, " Hz; found ", sf_strerror(nullptr));
  const auto count = static_cast<sf_count_t>(samples.size());
  const sf_count_t written = sf_writef_short(file.get(), samples.data(), count);
  if (written != count)
    throw DataError("flac encoder: expected ", count, " samples written; found ", written, ": ",
                    sf_strerror(file.get()));
  file.reset();
  return std::move(memory.output);
}

std::vector<int16_t> decode_flac(std::span<const std::byte> bytes, const std::string& name) {
  return SoundFile(bytes, name).read_int16(std::numeric_limits<int64_t>::max());
}

std::vector<int16_t> to_int16(std::span<const float> samples) {
  std::vector<int16_t> grid(samples.size());
  std::transform(samples.begin(), samples.end(), grid.begin(), [](float sample) {
    return static_cast<int16_t>(std::clamp(std::nearbyint(sample * 32768.0f), -32768.0f, 32767.0f));
  });
  return grid;
}

std::vector<float> from_int16(std::span<const int16_t> samples) {
  std::vector<float> floats(samples.size());
  std::transform(samples.begin(), samples.end(), floats.begin(),
                 [](int16_t sample) { return static_cast<float>(sample) / 32768.0f; });
  return floats;
}

}  // namespace rehearse
