// wav, flac, ogg (Vorbis, Opus), mp3 and whatever else libsndfile recognises by content.
#include <cmath>
#include <limits>

#include "data/readers/audio_reader.h"
#include "data/sound_file.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr double kLongestSeconds = 1e7;

class SndfileReader : public AudioReader {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: sndfile}";

  SndfileReader(const Options&, const Context&) {}

  bool accepts(const std::string&) const override { return true; }

  AudioClip read(const std::string& path, const AudioPart& part) const override {
    const auto [offset_s, duration_s, channel] = part;
    if (!(offset_s >= 0 && offset_s <= kLongestSeconds) || !(duration_s <= kLongestSeconds))
      throw DataError(path, ": expected offset and duration up to ", kLongestSeconds, " s; found ", offset_s, " and ",
                      duration_s);
    SoundFile file(path);
    const int rate = file.sample_rate_hz();
    file.seek(std::llround(offset_s * rate));
    const int64_t most =
        duration_s > 0 ? std::max(1ll, std::llround(duration_s * rate)) : std::numeric_limits<int64_t>::max();
    AudioClip clip{file.read_mono(most, channel), rate};
    if (clip.samples.empty()) throw DataError(path, ": expected audio at ", offset_s, " s; found 0 samples");
    return clip;
  }

  double duration_s(const std::string& path) const override {
    SoundFile file(path);
    const int64_t frames = file.count_frames();
    if (frames == 0) throw DataError(path, ": expected audio; found 0 samples");
    return static_cast<double>(frames) / file.sample_rate_hz();
  }
};

REHEARSE_REGISTER(AudioReader, "sndfile", SndfileReader);

}  // namespace
}  // namespace rehearse
