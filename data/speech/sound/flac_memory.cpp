// FLAC encoding into memory.
#include <sndfile.h>

#include <algorithm>
#include <cstring>

#include "data/speech/audio/sound_file.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

// libsndfile's virtual file that bytes are written to.
struct MemoryFile {
  std::vector<std::byte> output;
  sf_count_t position = 0;

  sf_count_t size() const { return static_cast<sf_count_t>(output.size()); }

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
    const std::byte* from = file.output.data() + file.position;
    if (taken > 0) std::memcpy(to, from, static_cast<size_t>(taken));
    file.position += taken;
    return taken;
  }

  static sf_count_t write(const void* from, sf_count_t count, void* user) {
    MemoryFile& file = of(user);
    if (count <= 0) return 0;
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

}  // namespace

std::vector<std::byte> encode_flac(std::span<const int16_t> samples, int sample_rate_hz) {
  MemoryFile memory;
  SF_INFO info{};
  info.samplerate = sample_rate_hz;
  info.channels = 1;
  info.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  SF_VIRTUAL_IO callbacks = MemoryFile::callbacks();
  SoundPointer file(sf_open_virtual(&callbacks, SFM_WRITE, &info, &memory));
  if (!file)
    throw DataError("flac encoder: expected to start at ", sample_rate_hz, " Hz; found ", "a libsndfile without FLAC");
  const auto count = static_cast<sf_count_t>(samples.size());
  const sf_count_t written = sf_writef_short(file.get(), samples.data(), count);
  if (written != count)
    throw DataError("flac encoder: expected ", count, " samples written; found ", written, ": ",
                    sf_strerror(file.get()));
  file.reset();
  return std::move(memory.output);
}

}  // namespace rehearse
