// Utterances of a packed corpus, named "folder/shard-00000.h5#7".
#include "data/speech/audio/audio_reader.h"
#include "data/speech/pack/packed_audio.h"
#include "data/speech/sound/byte_source.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

class PackReader : public AudioReader {
 public:
  struct Options {
    static Options from(ConfigNode&) { return {}; }
  };
  static constexpr const char* kExample = "{type: packed}";

  PackReader(const Options&, const Context& context)
      : audio_(context.files != nullptr ? *context.files : ReadLayer::system()) {}

  bool accepts(const std::string& path) const override { return parse_packed_path(path).has_value(); }

  // A pack holds the channel that was asked for when it was made.
  AudioClip read(const std::string& path, const AudioPart& part) const override {
    return audio_.read(parsed(path), part.offset_s, part.duration_s);
  }

  double duration_s(const std::string& path) const override { return audio_.duration_s(parsed(path)); }

 private:
  static PackedPath parsed(const std::string& path) {
    const auto packed = parse_packed_path(path);
    if (!packed) throw DataError(path, ": expected a path like shard-00000.h5#7; found another");
    return *packed;
  }

  PackedAudio audio_;
};

REHEARSE_REGISTER(AudioReader, "packed", PackReader);

}  // namespace
}  // namespace rehearse
