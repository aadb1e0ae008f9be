// Speech from the espeak-ng program, run as a child process (never linked).
#pragma once

#include <string>
#include <vector>

#include "data/speech/audio/audio_reader.h"

namespace rehearse::synth {

// A voice of the program with its adjustments.
struct Voice {
  std::string name;     // "en-us+m3": accent + variant
  int pitch = 50;       // 0 … 99
  int speed_wpm = 175;  // words per minute
};

// The variant of a voice name ("m3" of "en-us+m3"; the name itself when there is none): who speaks, whatever the
// accent.
std::string speaker_of(const std::string& voice_name);

// Immutable; all methods may be called from several threads at once.
class Espeak {
 public:
  // Throws ConfigError naming the package to install when the program is not on PATH.
  explicit Espeak(std::string program = "espeak-ng");

  const std::string& version() const { return version_; }  // "1.51"
  // Throws ConfigError when a variant is unknown: the program itself would silently use its default voice.
  void expect_voices(const std::vector<std::string>& names) const;
  // One sentence without the pause after it; a function of its arguments. Throws ConfigError for an unknown accent,
  // DataError when the program fails otherwise.
  AudioClip speak(const Voice& voice, const std::string& text) const;

 private:
  std::string program_;
  std::string version_;
};

}  // namespace rehearse::synth
