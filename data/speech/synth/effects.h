// What rooms, lines and codecs do to speech: pure functions of samples in [-1, 1] and a key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "data/speech/audio/mean_power.h"
#include "trainer/base/random.h"

namespace rehearse::synth {

using Samples = std::vector<float>;

// Scales to this root mean square, in dB relative to full scale. Silence stays silence.
void set_level(Samples& samples, double level_db);
// Scales down, never up, so that no sample exceeds `peak`.
void limit_peak(Samples& samples, float peak);
// Adds noise, scaled so that mean powers differ by snr_db; noise is repeated or cut to the length of speech.
void mix_at_snr(Samples& speech, const Samples& noise, double snr_db);

// Second-order sections of the bilinear transform with zero state at the start (R. Bristow-Johnson's audio EQ
// cookbook).
class Biquad {
 public:
  static Biquad low_pass(int sample_rate_hz, double cutoff_hz, double q);
  static Biquad high_pass(int sample_rate_hz, double cutoff_hz, double q);
  void apply(Samples& samples) const;

 private:
  double b0_ = 1, b1_ = 0, b2_ = 0, a1_ = 0, a2_ = 0;
};

// Fourth-order Butterworth slopes (24 dB per octave) on both sides, -3 dB at low_hz and high_hz.
void band_pass(Samples& samples, int sample_rate_hz, double low_hz, double high_hz);

// ITU-T G.711 mu-law of 16-bit samples (the law's 14 bits are the upper ones).
uint8_t mu_law_encode(int16_t sample);
int16_t mu_law_decode(uint8_t code);
void mu_law(Samples& samples);  // there and back

// Lowers what exceeds threshold_db (of full scale) to 1 / ratio of the excess; attack 5 ms, release 80 ms.
void compress(Samples& samples, int sample_rate_hz, double threshold_db, double ratio);

// Sources of the length asked for, at no particular level.
Samples white_noise(size_t num_samples, const RandomKey& key);
// Rumble below 200 Hz, engine harmonics that drift and a little hiss of the road.
Samples car_noise(size_t num_samples, int sample_rate_hz, const RandomKey& key);
// Soft chords that change every second or so.
Samples music_hum(size_t num_samples, int sample_rate_hz, const RandomKey& key);
// num_talkers clips of equal power, each from a random start and repeated; clips must not be empty.
Samples babble(size_t num_samples, const std::vector<Samples>& clips, int num_talkers, const RandomKey& key);

// A sparse room impulse response: the direct sound, then pulses whose decay reaches -60 dB after reverberation_s.
struct RoomEcho {
  struct Tap {
    size_t delay = 0;  // samples
    float gain = 0;
  };
  std::vector<Tap> taps;  // taps[0] is the direct sound: delay 0, gain 1

  // Reflections carry direct_to_reverb_db less power than the direct sound.
  static RoomEcho of(int sample_rate_hz, double reverberation_s, double direct_to_reverb_db, const RandomKey& key);
  void apply(Samples& samples) const;  // the length stays
};

}  // namespace rehearse::synth
