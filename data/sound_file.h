// libsndfile behind value types: decoding from files and memory, FLAC encoding into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rehearse {

// One open file, at its first frame. Not thread-safe; different objects may be used from different threads.
// All failures are DataError naming the file.
class SoundFile {
 public:
  explicit SoundFile(const std::string& path);
  SoundFile(std::span<const std::byte> bytes, const std::string& name);  // bytes outlive the object
  ~SoundFile();
  SoundFile(SoundFile&&) noexcept;

  int sample_rate_hz() const;
  int num_channels() const;
  // Frames the header promises and the last of which can be decoded; otherwise frames counted by decoding. Moves the
  // position: call it last.
  int64_t count_frames();

  void seek(int64_t frame);
  // At most max_frames from here, one channel (0-based) or their average, in [-1, 1]; fewer when the file ends earlier
  // than it says.
  std::vector<float> read_mono(int64_t max_frames, int channel = -1);
  // The same for one channel of 16 bits, bit-exact.
  std::vector<int16_t> read_int16(int64_t max_frames);

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

std::vector<std::byte> encode_flac(std::span<const int16_t> samples, int sample_rate_hz);
std::vector<int16_t> decode_flac(std::span<const std::byte> bytes, const std::string& name);

// The grid of 16-bit audio: value * 32768, rounded to nearest and clipped; the inverse is exact.
std::vector<int16_t> to_int16(std::span<const float> samples);
std::vector<float> from_int16(std::span<const int16_t> samples);

}  // namespace rehearse
