// Audio decoding: any container and rate in, mono float at its own rate out.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace rehearse {

class ConfigNode;

// Mono samples in [-1, 1].
struct AudioClip {
  std::vector<float> samples;
  int sample_rate_hz = 0;
};

constexpr int kAllChannels = -1;

// What is asked of a file.
struct AudioPart {
  double offset_s = 0;
  double duration_s = 0;       // <= 0: to the end
  int channel = kAllChannels;  // 0-based; kAllChannels: averaged
};

// Plug-in: REHEARSE_REGISTER(AudioReader, name, Class). read() may be called from several threads at once.
class AudioReader {
 public:
  struct Context {};
  virtual ~AudioReader() = default;
  virtual bool accepts(const std::string& path) const = 0;
  // Throws DataError for anything that is not readable audio: absent, empty, truncated header, NaN samples, 0 samples,
  // a channel that the file has not. A file that ends before the part does gives what is there.
  virtual AudioClip read(const std::string& path, const AudioPart& part) const = 0;
  // Length of the whole file; same failures as read(). Decodes it unless a reader knows a shorter way, such as a header
  // that can be trusted.
  virtual double duration_s(const std::string& path) const;
};

// All registered readers, asked in name order; the last resort is libsndfile.
class AudioReaders {
 public:
  AudioReaders();
  // Decoded, averaged to mono or reduced to one channel, and resampled (soxr, high quality) to sample_rate_hz.
  std::vector<float> read(const std::string& path, double offset_s, double duration_s, int sample_rate_hz,
                          int channel = kAllChannels) const;
  double duration_s(const std::string& path) const;

 private:
  const AudioReader& reader_of(const std::string& path) const;
  std::vector<std::unique_ptr<AudioReader>> readers_;
};

// llround(samples.size() * to_hz / from_hz) samples, at least one when there is any.
std::vector<float> resample(const std::vector<float>& samples, int from_hz, int to_hz);

}  // namespace rehearse
