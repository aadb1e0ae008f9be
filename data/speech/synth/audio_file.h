// Writing audio files through libsndfile.
#pragma once

#include <string>
#include <vector>

namespace rehearse::synth {

enum class AudioCodec { kFlac, kWav, kMuLawWav, kVorbis };

const char* name_of(AudioCodec codec);       // "flac", "wav", "mu-law wav", "vorbis"
const char* extension_of(AudioCodec codec);  // "flac", "wav", "ogg"

// Mono, 16 bit where the codec has bits. quality: of Vorbis alone, 0 … 1. Throws CommError when the file cannot be
// written.
void write_audio(const std::string& path, const std::vector<float>& samples, int sample_rate_hz, AudioCodec codec,
                 double quality = 0.4);

}  // namespace rehearse::synth
