#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>

#include "data/readers/audio_reader.h"
#include "data/sound_file.h"
#include "mutation.h"
#include "tests/data/audio_support.h"
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
      EXPECT_GT(readers.duration_s(folder / "bad"), 0);
      ++read;
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
                                           std::pair("Mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III)),
                         [](const auto& info) { return info.param.first; });

TEST_P(AudioFuzz, ADamagedFileIsReadOrRefused) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  const std::string good = sound_bytes(folder, GetParam().second, 16000);
  ASSERT_FALSE(good.empty()) << sf_strerror(nullptr);
  expect_read_or_refused(good, folder, RandomKey(seed).with(GetParam().first));
}

}  // namespace
}  // namespace rehearse
