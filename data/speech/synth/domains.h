// The five synthetic domains: who speaks, what is said and what happens to the sound on its way.
#pragma once

#include <string>
#include <vector>

#include "data/speech/synth/audio_file.h"
#include "data/speech/synth/effects.h"
#include "data/speech/synth/grammar.h"
#include "trainer/base/random.h"

namespace rehearse::synth {

struct SnrRange {
  double low_db = 0;
  double high_db = 0;
};

// What render() needs to know about one utterance.
struct RenderContext {
  int sample_rate_hz = 0;
  SnrRange snr;
  const std::vector<Samples>* talkers = nullptr;  // clips at sample_rate_hz; given to domains that use babble
  RandomKey key{0};
};

struct Domain {
  std::string name;
  Grammar grammar;
  int sample_rate_hz = 16000;
  AudioCodec codec = AudioCodec::kFlac;
  double quality = 0.4;  // of Vorbis
  bool uses_babble = false;
  // Defaults that a configuration may replace.
  SnrRange snr;
  double train_seconds = 1800;
  std::vector<std::string> voices;       // training and validation
  std::vector<std::string> test_voices;  // speakers that occur in no training set
  // Clean speech at sample_rate_hz in, the domain's sound out; a function of its arguments.
  void (*render)(Samples& speech, const RenderContext& context) = nullptr;
};

// studio, phone, radio, crowd and drive, in this order.
const std::vector<Domain>& all_domains();
// Voices of the people in the background; they are nobody's training or test voice.
const std::vector<std::string>& babble_voices();

}  // namespace rehearse::synth
