// An AudioReader that makes its audio: fast, exact, and broken on request.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "data/speech/manifest.h"

namespace rehearse {

// Paths: "tone:440" is a sine of 440 Hz and amplitude 0.5 at 16 kHz for as long as asked (1 s when not asked);
// "tone:silent", "tone:truncated" (a quarter of what was asked) and "tone:broken" (DataError) are what they say.
std::vector<float> tone(double frequency_hz, size_t num_samples);

// Reads served by this process so far.
std::atomic<int>& num_tone_reads();

Utterance tone_utterance(const std::string& domain, int number, double duration_s, const std::string& text,
                         const std::string& path = "");

}  // namespace rehearse
