// libsndfile behind value types: decoding from files and memory, FLAC encoding into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/speech/sound/stereo.h"
#include "data/speech/sound/survey.h"

namespace rehearse {

class SoundHandle;

// One file, at its first frame. Several recordings in one file (joined MP3, chained Ogg) are read one after the other.
// Not thread-safe; different objects may be used from different threads. All failures are DataError naming the file.
class SoundFile {
 public:
  // What is believed of where the audio ends: the header, or a walk over the whole file, which costs reading it.
  enum class Trust { kHeader, kWalk };

  SoundFile(std::shared_ptr<const ByteSource> source, Trust trust);
  explicit SoundFile(const std::string& path);                           // Trust::kWalk
  SoundFile(std::span<const std::byte> bytes, const std::string& name);  // Trust::kHeader; bytes outlive the object
  ~SoundFile();
  SoundFile(SoundFile&&) noexcept;

  int sample_rate_hz() const;
  int num_channels() const;
  // What the walk found to be missing, when it is too much to pass over: "cut off …". Complete once all is read.
  const std::string& complaint() const { return survey_.complaint; }
  // Of what read_mono() has mixed so far.
  const StereoSums& stereo() const { return stereo_; }
  // Frames promised, if the last of them can be decoded; otherwise, and where samples may be no numbers, frames counted
  // by decoding. Moves the position: call it last.
  int64_t count_frames();

  void seek(int64_t frame);
  // At most max_frames from here, one channel (0-based) or their average, in [-1, 1]; fewer only at the end.
  std::vector<float> read_mono(int64_t max_frames, int channel = -1);
  // The same for one channel of 16 bits, bit-exact.
  std::vector<int16_t> read_int16(int64_t max_frames);

 private:
  bool go_to(size_t piece);
  int64_t skip(int64_t frames);
  int64_t decode_all();
  void mix(std::span<const float> interleaved, int channel, std::vector<float>& mono);

  std::shared_ptr<const ByteSource> source_;
  SoundSurvey survey_;
  size_t piece_ = 0;
  std::unique_ptr<SoundHandle> handle_;
  int sample_rate_hz_ = 0;
  std::vector<float> block_;
  StereoSums stereo_;
};

std::vector<std::byte> encode_flac(std::span<const int16_t> samples, int sample_rate_hz);
std::vector<int16_t> decode_flac(std::span<const std::byte> bytes, const std::string& name);

// The grid of 16-bit audio: value * 32768, rounded to nearest and clipped; the inverse is exact.
std::vector<int16_t> to_int16(std::span<const float> samples);
void round_to_int16(std::span<float> samples);  // to that grid, in place
std::vector<float> from_int16(std::span<const int16_t> samples);

}  // namespace rehearse
