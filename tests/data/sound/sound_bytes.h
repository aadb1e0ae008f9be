// Audio files as bytes, made by libsndfile, to be joined, cut and damaged.
#pragma once

#include <gtest/gtest.h>
#include <sndfile.h>

#include <string>
#include <vector>

#include "data/speech/audio/audio_reader.h"
#include "tests/data/speech/audio_support.h"
#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse::testing {

struct SoundSpec {
  int format = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
  int rate_hz = 16000;
  int channels = 1;
  double seconds = 4;
  bool is_variable_rate = false;  // MP3: loud noise for the first tenth, then nearly nothing
};

inline std::string sound_bytes(const SoundSpec& spec) {
  const TemporaryFolder folder;
  const std::string path = folder / "sound";
  SF_INFO info{.samplerate = spec.rate_hz, .channels = spec.channels, .format = spec.format};
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  if (file == nullptr) return "";
  if (spec.is_variable_rate) {
    int mode = SF_BITRATE_MODE_VARIABLE;
    sf_command(file, SFC_SET_BITRATE_MODE, &mode, sizeof mode);
  }
  const auto frames = static_cast<size_t>(spec.seconds * spec.rate_hz);
  std::vector<float> noise(frames * static_cast<size_t>(spec.channels));
  for (size_t i = 0; i < noise.size(); ++i) {
    const bool is_quiet = spec.is_variable_rate && i > noise.size() / 10;
    noise[i] = static_cast<float>(RandomKey(1).uniform(i / spec.channels) - 0.5) * (is_quiet ? 0.001f : 1.0f);
  }
  constexpr size_t kAtOnce = 4096;  // libsndfile's Vorbis encoder keeps a whole write on its stack
  for (size_t at = 0; at < frames; at += kAtOnce)
    sf_writef_float(file, noise.data() + at * spec.channels, static_cast<sf_count_t>(std::min(kAtOnce, frames - at)));
  sf_close(file);
  return read_file(path);
}

// Without its first frame, the one with "Xing" or "Info".
inline std::string without_info_frame(const std::string& mp3) {
  for (size_t at = 100; at + 2 < mp3.size(); ++at)
    if (mp3[at] == mp3[0] && mp3[at + 1] == mp3[1] && (mp3[at + 2] & 0x0C) == (mp3[2] & 0x0C)) return mp3.substr(at);
  return "";
}

// What reading a file with these bytes to its end comes to.
struct WholeRead {
  double heard_s = 0;
  double duration_s = 0;
  std::string remark;   // the complaint
  std::string refusal;  // of hear(), or else of duration_s()
};

inline WholeRead read_whole(const std::string& bytes) {
  const TemporaryFolder folder;
  write_file(folder / "file", bytes);
  const AudioReaders readers;
  WholeRead result;
  try {
    const HeardAudio heard = readers.hear(folder / "file", {}, 16000);
    result.heard_s = static_cast<double>(heard.samples.size()) / 16000;
    result.remark = heard.complaint;
    result.duration_s = readers.duration_s(folder / "file");
  } catch (const DataError& failure) {
    result.refusal = failure.what();
  }
  return result;
}

}  // namespace rehearse::testing
