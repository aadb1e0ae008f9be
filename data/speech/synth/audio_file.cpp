#include "data/speech/synth/audio_file.h"

#include <sndfile.h>

#include <algorithm>
#include <memory>

#include "data/speech/audio/sound_file.h"
#include "trainer/base/error.h"

namespace rehearse::synth {

namespace {

int format_of(AudioCodec codec) {
  switch (codec) {
    case AudioCodec::kFlac:
      return SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
    case AudioCodec::kWav:
      return SF_FORMAT_WAV | SF_FORMAT_PCM_16;
    case AudioCodec::kMuLawWav:
      return SF_FORMAT_WAV | SF_FORMAT_ULAW;
    case AudioCodec::kVorbis:
      return SF_FORMAT_OGG | SF_FORMAT_VORBIS;
  }
  return 0;
}

}  // namespace

const char* name_of(AudioCodec codec) {
  switch (codec) {
    case AudioCodec::kFlac:
      return "flac";
    case AudioCodec::kWav:
      return "wav";
    case AudioCodec::kMuLawWav:
      return "mu-law wav";
    case AudioCodec::kVorbis:
      return "vorbis";
  }
  return "";
}

const char* extension_of(AudioCodec codec) {
  switch (codec) {
    case AudioCodec::kFlac:
      return "flac";
    case AudioCodec::kVorbis:
      return "ogg";
    case AudioCodec::kWav:
    case AudioCodec::kMuLawWav:
      break;
  }
  return "wav";
}

void write_audio(const std::string& path, const std::vector<float>& samples, int sample_rate_hz, AudioCodec codec,
                 double quality) {
  SF_INFO info{};
  info.samplerate = sample_rate_hz;
  info.channels = 1;
  info.format = format_of(codec);
  std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> file(sf_open(path.c_str(), SFM_WRITE, &info), sf_close);
  if (file == nullptr) throw CommError(path, ": expected to write ", name_of(codec), "; found: ", sf_strerror(nullptr));
  if (codec == AudioCodec::kVorbis) sf_command(file.get(), SFC_SET_VBR_ENCODING_QUALITY, &quality, sizeof quality);
  const std::vector<int16_t> quantised = to_int16(samples);
  // In pieces: libsndfile's Vorbis encoder keeps a whole write on its stack.
  constexpr size_t kPiece = 4096;
  for (size_t at = 0; at < quantised.size(); at += kPiece) {
    const auto count = static_cast<sf_count_t>(std::min(kPiece, quantised.size() - at));
    if (sf_write_short(file.get(), quantised.data() + at, count) != count)
      throw CommError(path, ": expected to write ", count, " samples; found: ", sf_strerror(file.get()));
  }
  if (sf_close(file.release()) != 0) throw CommError(path, ": expected to close the file; found a write error");
}

}  // namespace rehearse::synth
