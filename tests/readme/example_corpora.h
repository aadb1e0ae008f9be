// Small corpora in the layouts that the README imports: murmur, with made-up words beside it.
#pragma once

#include <sndfile.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace rehearse {

constexpr double kExampleSeconds = 2.5;

// Words of enough variety for 300 subwords; counter-based, so each `index` has its own.
inline std::string example_text(uint64_t index) {
  uint64_t state = index * 0x9e3779b97f4a7c15ull + 1;
  const auto below = [&state](uint64_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % n;
  };
  std::string text;
  for (int word = 0; word < 5; ++word) {
    if (word > 0) text += ' ';
    for (uint64_t letter = 0, letters = 3 + below(4); letter < letters; ++letter)
      text += static_cast<char>('a' + below(26));
  }
  return text;
}

inline void write_example_audio(const std::filesystem::path& path, int format) {
  std::filesystem::create_directories(path.parent_path());
  SF_INFO info{};
  info.samplerate = 16000;
  info.channels = 1;
  info.format = format;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  if (!file) throw std::runtime_error(path.string() + ": " + sf_strerror(nullptr));
  std::vector<float> samples(static_cast<size_t>(kExampleSeconds * info.samplerate));
  uint32_t state = 1;
  for (float& sample : samples) {
    state = state * 1664525u + 1013904223u;
    sample = 0.2f * (static_cast<float>(state >> 8) / 8388608.0f - 1.0f);
  }
  sf_writef_float(file, samples.data(), static_cast<sf_count_t>(samples.size()));
  sf_close(file);
}

// <folder>/<subset>/17/1/17-1.trans.txt beside 17-1-0000.flac and so on.
inline void write_librispeech(const std::filesystem::path& folder, const std::string& subset, int count) {
  const std::filesystem::path chapter = folder / subset / "17" / "1";
  std::filesystem::create_directories(chapter);
  std::ofstream transcripts(chapter / "17-1.trans.txt");
  for (int i = 0; i < count; ++i) {
    const std::string name = "17-1-" + subset.substr(0, 1) + std::to_string(1000 + i);
    write_example_audio(chapter / (name + ".flac"), SF_FORMAT_FLAC | SF_FORMAT_PCM_16);
    transcripts << name << ' ' << example_text(std::hash<std::string>()(name)) << '\n';
  }
}

// <folder>/<table>.tsv and <folder>/clips.
inline void write_common_voice(const std::filesystem::path& folder, const std::string& table, int count) {
  std::filesystem::create_directories(folder);
  std::ofstream rows(folder / (table + ".tsv"));
  rows << "client_id\tpath\tsentence\tup_votes\tlocale\n";
  for (int i = 0; i < count; ++i) {
    const std::string clip = "common_voice_" + table + std::to_string(i) + ".mp3";
    write_example_audio(folder / "clips" / clip, SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III);
    rows << "speaker\t" << clip << '\t' << example_text(std::hash<std::string>()(clip)) << "\t2\ten\n";
  }
}

// <folder>/<name>.json and the audio it names.
inline void write_nemo(const std::filesystem::path& folder, const std::string& name, int count) {
  std::filesystem::create_directories(folder);
  std::ofstream lines(folder / (name + ".json"));
  for (int i = 0; i < count; ++i) {
    const std::string file = name + std::to_string(i) + ".wav";
    write_example_audio(folder / "audio" / file, SF_FORMAT_WAV | SF_FORMAT_PCM_16);
    lines << R"({"audio_filepath": "audio/)" << file << R"(", "duration": )" << kExampleSeconds << R"(, "text": ")"
          << example_text(std::hash<std::string>()(folder.filename().string() + file)) << "\"}\n";
  }
}

}  // namespace rehearse
