// Small audio files and folders for the tests of data.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "data/speech/audio/audio_reader.h"
#include "tests/data/text/text_support.h"

namespace rehearse::testing {

namespace fs = std::filesystem;

using rehearse::TemporaryFolder;

inline void write_file(const std::string& path, const std::string& bytes) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::string little_endian(uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

// A RIFF file around `data`; format 1 is integer, 3 is float. promised: the data length the header claims.
inline std::string wav_bytes(const std::string& data, int format, int bits, int channels, int rate_hz,
                             std::optional<uint32_t> promised = {}) {
  const int frame_bytes = channels * bits / 8;
  const uint32_t length = promised.value_or(static_cast<uint32_t>(data.size()));
  return "RIFF" + little_endian(36 + length, 4) + "WAVEfmt " + little_endian(16, 4) + little_endian(format, 2) +
         little_endian(channels, 2) + little_endian(rate_hz, 4) + little_endian(rate_hz * frame_bytes, 4) +
         little_endian(frame_bytes, 2) + little_endian(bits, 2) + "data" + little_endian(length, 4) + data;
}

inline std::string wav_int16(const std::vector<int16_t>& samples, int rate_hz, int channels = 1) {
  return wav_bytes({reinterpret_cast<const char*>(samples.data()), samples.size() * 2}, 1, 16, channels, rate_hz);
}

inline std::string wav_float(const std::vector<float>& samples, int rate_hz) {
  return wav_bytes({reinterpret_cast<const char*>(samples.data()), samples.size() * 4}, 3, 32, 1, rate_hz);
}

inline std::vector<float> sine(double frequency_hz, int rate_hz, size_t count, double amplitude = 0.5) {
  std::vector<float> samples(count);
  for (size_t i = 0; i < count; ++i)
    samples[i] = static_cast<float>(amplitude * std::sin(2 * M_PI * frequency_hz * static_cast<double>(i) / rate_hz));
  return samples;
}

inline std::vector<int16_t> sine_int16(double frequency_hz, int rate_hz, size_t count) {
  std::vector<int16_t> samples;
  for (float value : sine(frequency_hz, rate_hz, count)) samples.push_back(static_cast<int16_t>(value * 32767));
  return samples;
}

// The folder of real speech, or nothing when REHEARSE_TEST_DATA is unset.
inline std::optional<fs::path> real_speech() {
  const char* folder = std::getenv("REHEARSE_TEST_DATA");
  if (folder == nullptr || !fs::exists(fs::path(folder) / "all_valid.jsonl")) return std::nullopt;
  return fs::path(folder);
}

}  // namespace rehearse::testing

// NOLINTBEGIN(bugprone-macro-parentheses): a name that is declared takes none
#define REHEARSE_NEEDS_REAL_SPEECH(folder)                \
  const auto folder = ::rehearse::testing::real_speech(); \
  if (!folder) GTEST_SKIP() << "no real speech: set REHEARSE_TEST_DATA to a folder with all_valid.jsonl"
// NOLINTEND(bugprone-macro-parentheses)
