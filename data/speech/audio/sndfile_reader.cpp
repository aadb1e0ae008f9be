// wav, flac, ogg (Vorbis, Opus), mp3 and whatever else libsndfile recognises by content.
#include <cmath>
#include <limits>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/audio/sound_file.h"
#include "data/speech/missing_audio.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

constexpr double kLongestSeconds = 1e7;
constexpr double kLongestReadHours = 3;
constexpr int64_t kStretchFrames = 1 << 18;

class SndfileReader : public AudioReader {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: sndfile}";

  SndfileReader(const Options&, const Context& context)
      : files_(context.files != nullptr ? *context.files : ReadLayer::system()), reads_pipes_(context.reads_pipes) {}

  bool accepts(const std::string&) const override { return true; }

  AudioClip read(const std::string& path, const AudioPart& part) const override {
    std::vector<float> samples;
    AudioClip clip = stream(path, part, [&](std::span<const float> stretch, int) {
      samples.insert(samples.end(), stretch.begin(), stretch.end());
    });
    clip.samples = std::move(samples);
    return clip;
  }

  AudioClip stream(const std::string& path, const AudioPart& part, const AudioSink& sink) const override {
    if (!(part.offset_s >= 0 && part.offset_s <= kLongestSeconds) || !(part.duration_s <= kLongestSeconds))
      throw DataError(path, ": expected offset and duration up to ", kLongestSeconds, " s; found ", part.offset_s,
                      " and ", part.duration_s);
    const auto source = std::make_shared<ByteSource>(path, files_, reads_pipes_);
    if (part.duration_s > 0)
      if (auto clip = by_header(source, part)) {
        sink(clip->samples, clip->sample_rate_hz);
        clip->samples.clear();
        return *clip;
      }
    return by_walk(source, part, sink);
  }

  double duration_s(const std::string& path) const override {
    SoundFile file(std::make_shared<ByteSource>(path, files_), SoundFile::Trust::kWalk);
    const int64_t frames = file.count_frames();
    if (!file.complaint().empty()) throw DataError(path, ": expected a whole file; found it ", file.complaint());
    if (frames == 0) throw DataError(path, ": expected audio; found 0 samples");
    return static_cast<double>(frames) / file.sample_rate_hz();
  }

 private:
  // The short way, which suffices when the header's word is enough for all that is asked.
  static std::optional<AudioClip> by_header(const std::shared_ptr<const ByteSource>& source, const AudioPart& part) {
    try {
      SoundFile file(source, SoundFile::Trust::kHeader);
      const int rate = file.sample_rate_hz();
      file.seek(std::llround(part.offset_s * rate));
      AudioClip clip{file.read_mono(frames_of(part, rate), part.channel), rate, file.stereo()};
      if (!is_missing(part.duration_s, static_cast<double>(clip.samples.size()) / rate)) return clip;
    } catch (const PassingError&) {
      throw;
    } catch (const DataError&) {
      // The walk says what it is.
    }
    return std::nullopt;
  }

  static AudioClip by_walk(const std::shared_ptr<const ByteSource>& source, const AudioPart& part,
                           const AudioSink& sink) {
    SoundFile file(source, SoundFile::Trust::kWalk);
    const int rate = file.sample_rate_hz();
    const int64_t wanted = part.duration_s > 0 ? frames_of(part, rate) : std::numeric_limits<int64_t>::max();
    const auto most = static_cast<int64_t>(kLongestReadHours * 3600 * rate);
    file.seek(std::llround(part.offset_s * rate));
    int64_t done = 0;
    while (done < wanted) {
      const std::vector<float> stretch = file.read_mono(std::min(kStretchFrames, wanted - done), part.channel);
      if (stretch.empty()) break;
      sink(stretch, rate);
      done += static_cast<int64_t>(stretch.size());
      if (done > most)
        throw DataError(source->name(), ": expected at most ", kLongestReadHours,
                        " hours in one piece; found more; cut it into shorter files");
    }
    if (done == 0) throw DataError(source->name(), ": expected audio at ", part.offset_s, " s; found 0 samples");
    return {{}, rate, file.stereo(), done < wanted ? file.complaint() : ""};
  }

  static int64_t frames_of(const AudioPart& part, int rate) {
    return std::max(1ll, std::llround(part.duration_s * rate));
  }

  ReadLayer& files_;
  bool reads_pipes_;
};

REHEARSE_REGISTER(AudioReader, "sndfile", SndfileReader);

}  // namespace
}  // namespace rehearse
