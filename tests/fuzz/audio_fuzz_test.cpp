#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/audio/sound_file.h"
#include "data/speech/sound/survey.h"
#include "mutation.h"
#include "tests/data/speech/audio_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

constexpr int kRounds = 100;

std::string sound_bytes(const TemporaryFolder& folder, int format, int rate_hz) {
  const std::string path = folder / "good";
  SF_INFO info{.samplerate = rate_hz, .channels = 1, .format = format};
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  if (file == nullptr) return "";
  // Ogg drops a page whose checksum is wrong. Noise fills several pages, so that something is left.
  std::vector<float> noise(static_cast<size_t>(rate_hz) * 2);
  for (size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<float>(RandomKey(1).uniform(i) - 0.5);
  sf_writef_float(file, noise.data(), static_cast<sf_count_t>(noise.size()));
  sf_close(file);
  return testing::read_file(path);
}

// The first round leaves the file whole; half of the others damage only the first 128 bytes, where the headers are. How
// many damaged files can still be read depends on the seed: of Ogg sometimes none.
void expect_read_or_refused(const std::string& good, const TemporaryFolder& folder, const RandomKey& key) {
  const AudioReaders readers;
  int read = 0;
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    const size_t head = round % 2 == 0 ? std::min<size_t>(128, good.size()) : good.size();
    const std::string damaged = testing::mutated(good.substr(0, head), key.with(round)) + good.substr(head);
    write_file(folder / "bad", round == 0 ? good : damaged);
    try {
      for (float sample : readers.read(folder / "bad", 0, 1, 16000)) ASSERT_TRUE(std::isfinite(sample));
      ++read;
      readers.hear(folder / "bad", {}, 16000);
      EXPECT_GT(readers.duration_s(folder / "bad"), 0);
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(read, 0);
  EXPECT_GT(refused, 0);
}

class AudioFuzz : public ::testing::TestWithParam<std::pair<const char*, int>> {};
INSTANTIATE_TEST_SUITE_P(Formats, AudioFuzz,
                         ::testing::Values(std::pair("Wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16),
                                           std::pair("WavFloat", SF_FORMAT_WAV | SF_FORMAT_FLOAT),
                                           std::pair("Flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16),
                                           std::pair("Vorbis", SF_FORMAT_OGG | SF_FORMAT_VORBIS),
                                           std::pair("Opus", SF_FORMAT_OGG | SF_FORMAT_OPUS),
                                           std::pair("Mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III),
                                           std::pair("Aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16),
                                           std::pair("Wave64", SF_FORMAT_W64 | SF_FORMAT_PCM_16),
                                           std::pair("Au", SF_FORMAT_AU | SF_FORMAT_PCM_16)),
                         [](const auto& info) { return info.param.first; });

TEST_P(AudioFuzz, ADamagedFileIsReadOrRefused) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  const std::string good = sound_bytes(folder, GetParam().second, 16000);
  ASSERT_FALSE(good.empty()) << sf_strerror(nullptr);
  expect_read_or_refused(good, folder, RandomKey(seed).with(GetParam().first));
  expect_read_or_refused(good + good, folder, RandomKey(seed).with(GetParam().first).with("joined"));
}

// The walks over frames, pages and chunks, without libsndfile: many more rounds.
TEST_P(AudioFuzz, AWalkOverADamagedFileEnds) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  const std::string good = sound_bytes(folder, GetParam().second, 16000);
  const RandomKey key = RandomKey(seed).with(GetParam().first).with("walk");
  for (int round = 0; round < 10 * kRounds; ++round) {
    const size_t head = std::min(good.size(), size_t{1} << (round % 13 + 4));
    const std::string bytes = testing::mutated(good.substr(0, head), key.with(round)) + good.substr(head);
    if (bytes.empty()) continue;
    const ByteSource source(std::as_bytes(std::span(bytes)), "memory");
    try {
      for (const SoundPiece& piece : survey_sound(source).pieces) {
        ASSERT_LT(piece.begin, piece.end);
        ASSERT_LE(piece.end, bytes.size());
      }
    } catch (const DataError&) {
      continue;
    }
  }
}

}  // namespace
}  // namespace rehearse
