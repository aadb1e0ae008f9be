// Audio decoding: any container and rate in, mono float at its own rate out.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/speech/sound/stereo.h"

namespace rehearse {

class ConfigNode;
class ReadLayer;

// Mono samples in [-1, 1].
struct AudioClip {
  std::vector<float> samples;
  int sample_rate_hz = 0;
  StereoSums stereo = {};      // of the channels that were averaged
  std::string complaint = {};  // what the file says should follow and does not: "cut off …"; set when read to its end
};

constexpr int kAllChannels = -1;

// What is asked of a file.
struct AudioPart {
  double offset_s = 0;
  double duration_s = 0;       // <= 0: to the end
  int channel = kAllChannels;  // 0-based; kAllChannels: averaged
};

// Takes consecutive stretches of a clip.
using AudioSink = std::function<void(std::span<const float> samples, int sample_rate_hz)>;

// Plug-in: REHEARSE_REGISTER(AudioReader, name, Class). read() may be called from several threads at once.
class AudioReader {
 public:
  struct Context {
    ReadLayer* files = nullptr;  // how files are read, outliving the reader; null: by the system
    bool reads_pipes = false;    // a pipe is read to its end; otherwise it is refused, since nobody can read it again
  };
  virtual ~AudioReader() = default;
  virtual bool accepts(const std::string& path) const = 0;
  // Throws DataError for anything that is not readable audio: absent, empty, truncated header, NaN samples, 0 samples,
  // a channel that the file has not; PassingError (data/speech/sound/byte_source.h) when it could not be read just now.
  // A file that ends before the part does gives what is there.
  virtual AudioClip read(const std::string& path, const AudioPart& part) const = 0;
  // The same in pieces, so that long files need not fit in memory; the clip comes back without samples.
  virtual AudioClip stream(const std::string& path, const AudioPart& part, const AudioSink& sink) const;
  // Length of the whole file; same failures as read(), and DataError for one that is cut off or damaged beyond
  // missing_allowed_s(). Decodes it unless a reader knows a shorter way.
  virtual double duration_s(const std::string& path) const;
};

struct HeardAudio {
  std::vector<float> samples;
  std::string complaint;             // of a file that is not whole: "cut off …"
  std::vector<std::string> remarks;  // what is suspicious about the sound: "silent: …", "antiphase: …"
};

// All registered readers, asked in name order; the last resort is libsndfile.
class AudioReaders {
 public:
  explicit AudioReaders(const AudioReader::Context& context = {});
  // Decoded, averaged to mono or reduced to one channel, and resampled (soxr, high quality) to sample_rate_hz. Read to
  // its end (duration_s <= 0), a file that is cut off or damaged is a DataError; a part of which a little is missing
  // gives what is there.
  std::vector<float> read(const std::string& path, double offset_s, double duration_s, int sample_rate_hz,
                          int channel = kAllChannels) const;
  // What is there, also of a file that is cut off. Needs memory for the result only.
  HeardAudio hear(const std::string& path, const AudioPart& part, int sample_rate_hz) const;
  double duration_s(const std::string& path) const;

 private:
  const AudioReader& reader_of(const std::string& path) const;
  std::vector<std::unique_ptr<AudioReader>> readers_;
};

// "silent: …" when no sample reaches -60 dB of full scale; "" otherwise.
std::string level_remark(std::span<const float> samples);

// llround(samples.size() * to_hz / from_hz) samples, at least one when there is any.
std::vector<float> resample(const std::vector<float>& samples, int from_hz, int to_hz);

}  // namespace rehearse
