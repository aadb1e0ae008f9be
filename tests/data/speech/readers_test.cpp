#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>
#include <limits>
#include <map>
#include <thread>

#include "audio_support.h"
#include "data/speech/audio/audio_reader.h"
#include "data/speech/audio/sound_file.h"
#include "data/speech/manifest.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;
using testing::TemporaryFolder;
using testing::write_file;

std::string failure_of(const std::string& path, double offset_s = 0, double duration_s = 0) {
  try {
    AudioReaders().read(path, offset_s, duration_s, 16000);
  } catch (const DataError& failure) {
    return failure.what();
  }
  return "no failure";
}

TEST(AudioReader, EveryRegisteredExampleNamesItsOwnType) {
  const auto& entries = Registry<AudioReader>::instance().entries();
  EXPECT_TRUE(entries.contains("sndfile"));
  EXPECT_TRUE(entries.contains("packed"));
  for (const auto& [name, entry] : entries) {
    Config config = Config::parse(entry.example);
    EXPECT_NE(Registry<AudioReader>::instance().create(config.root(), {}), nullptr) << name;
    EXPECT_NO_THROW(config.root().expect_all_read()) << name;
  }
}

TEST(SndfileReader, SixteenBitSamplesArriveExactly) {
  TemporaryFolder folder;
  const std::vector<int16_t> samples = {0, 1, -1, 32767, -32768, 1234};
  write_file(folder / "a.wav", testing::wav_int16(samples, 16000));
  const auto read = AudioReaders().read(folder / "a.wav", 0, 0, 16000);
  EXPECT_EQ(to_int16(read), samples);
  EXPECT_EQ(read, from_int16(samples));
}

TEST(SndfileReader, ChannelsAreAveraged) {
  TemporaryFolder folder;
  write_file(folder / "a.wav", testing::wav_int16({1000, 3000, -200, 200, 30, 10}, 16000, 2));
  EXPECT_EQ(to_int16(AudioReaders().read(folder / "a.wav", 0, 0, 16000)), (std::vector<int16_t>{2000, 0, 20}));
}

TEST(SndfileReader, OneChannelOfSeveralIsReadWhenAsked) {
  TemporaryFolder folder;
  write_file(folder / "a.wav", testing::wav_int16({1000, 3000, -200, 200, 30, 10}, 16000, 2));
  const AudioReaders readers;
  EXPECT_EQ(to_int16(readers.read(folder / "a.wav", 0, 0, 16000, 0)), (std::vector<int16_t>{1000, -200, 30}));
  EXPECT_EQ(to_int16(readers.read(folder / "a.wav", 0, 0, 16000, 1)), (std::vector<int16_t>{3000, 200, 10}));
  EXPECT_THROW(readers.read(folder / "a.wav", 0, 0, 16000, 2), DataError);
}

TEST(SndfileReader, AWrongExtensionDoesNotMatter) {
  TemporaryFolder folder;
  write_file(folder / "a.mp3", testing::wav_int16({1, 2, 3}, 16000));
  EXPECT_EQ(AudioReaders().read(folder / "a.mp3", 0, 0, 16000).size(), 3u);
}

TEST(SndfileReader, OffsetAndDurationCutTheirPart) {
  TemporaryFolder folder;
  const auto samples = testing::sine_int16(100, 8000, 8000);
  write_file(folder / "a.wav", testing::wav_int16(samples, 8000));
  const AudioReaders readers;
  const auto part = to_int16(readers.read(folder / "a.wav", 0.25, 0.5, 8000));
  EXPECT_EQ(part, std::vector<int16_t>(samples.begin() + 2000, samples.begin() + 6000));
  EXPECT_EQ(readers.read(folder / "a.wav", 0.75, 9, 8000).size(), 2000u) << "the file ends before the part";
  EXPECT_DOUBLE_EQ(readers.duration_s(folder / "a.wav"), 1.0);
}

TEST(SndfileReader, RefusesWhatIsNoAudio) {
  TemporaryFolder folder;
  write_file(folder / "empty.wav", "");
  write_file(folder / "text.wav", "this is not audio at all, it only has the name");
  write_file(folder / "header.wav", testing::wav_int16({}, 16000));
  write_file(folder / "torn.wav", testing::wav_int16({1, 2}, 16000).substr(0, 20));
  write_file(folder / "short.wav", testing::wav_int16({1, 2}, 16000));
  EXPECT_THAT(failure_of(folder / "absent.wav"), HasSubstr("no such file"));
  EXPECT_THAT(failure_of(folder.path().string()), HasSubstr("a folder"));
  EXPECT_THAT(failure_of(folder / "empty.wav"), HasSubstr("0 bytes"));
  EXPECT_THAT(failure_of(folder / "text.wav"), HasSubstr("text, \"this is not audio"));
  EXPECT_THAT(failure_of(folder / "header.wav"), HasSubstr("0 samples"));
  EXPECT_THAT(failure_of(folder / "torn.wav"), HasSubstr("0 samples"));
  EXPECT_THAT(failure_of(folder / "short.wav", 5), HasSubstr("offset"));
  EXPECT_THAT(failure_of(folder / "short.wav", -1), HasSubstr("offset"));
  EXPECT_THROW(AudioReaders().duration_s(folder / "header.wav"), DataError);
}

TEST(SndfileReader, RefusesSamplesThatAreNoNumbersOrFarBeyondFullScale) {
  TemporaryFolder folder;
  write_file(folder / "nan.wav", testing::wav_float({0.1f, std::numeric_limits<float>::quiet_NaN()}, 16000));
  write_file(folder / "inf.wav", testing::wav_float({0.1f, std::numeric_limits<float>::infinity()}, 16000));
  write_file(folder / "loud.wav", testing::wav_float({0.1f, 20000.0f}, 16000));
  write_file(folder / "hot.wav", testing::wav_float({0.1f, 1.25f, -1.25f}, 16000));
  EXPECT_THAT(failure_of(folder / "nan.wav"), HasSubstr("NaN"));
  EXPECT_THAT(failure_of(folder / "inf.wav"), HasSubstr("infinity"));
  EXPECT_THAT(failure_of(folder / "loud.wav"), HasSubstr("full scale"));
  EXPECT_EQ(AudioReaders().read(folder / "hot.wav", 0, 0, 16000), (std::vector<float>{0.1f, 1.0f, -1.0f}));
}

TEST(SndfileReader, AHeaderThatPromisesTooMuchGivesWhatIsThere) {
  TemporaryFolder folder;
  const auto samples = testing::sine_int16(100, 8000, 100);
  const std::string data(reinterpret_cast<const char*>(samples.data()), samples.size() * 2);
  write_file(folder / "a.wav", testing::wav_bytes(data, 1, 16, 1, 8000, 0x7FFFFF00));
  EXPECT_EQ(to_int16(AudioReaders().read(folder / "a.wav", 0, 0, 8000)), samples);
  EXPECT_DOUBLE_EQ(AudioReaders().duration_s(folder / "a.wav"), 0.0125);
}

TEST(SndfileReader, ATruncatedFlacGivesThePartsThatAreThereAndHasNoDuration) {
  TemporaryFolder folder;
  const auto flac = encode_flac(testing::sine_int16(300, 16000, 64000), 16000);
  const std::string bytes(reinterpret_cast<const char*>(flac.data()), flac.size());
  write_file(folder / "whole.flac", bytes);
  write_file(folder / "torn.flac", bytes.substr(0, bytes.size() / 2));
  const AudioReaders readers;
  EXPECT_DOUBLE_EQ(readers.duration_s(folder / "whole.flac"), 4.0);
  EXPECT_THROW(readers.duration_s(folder / "torn.flac"), DataError);
  EXPECT_THAT(failure_of(folder / "torn.flac"), HasSubstr("expected a whole file; found it cut off"));
  EXPECT_EQ(readers.read(folder / "torn.flac", 0.25, 0.5, 16000).size(), 8000u);
  const auto part = readers.read(folder / "torn.flac", 0, 4, 16000);
  EXPECT_GT(part.size(), 16000u);
  EXPECT_LT(part.size(), 48000u);
}

TEST(SndfileReader, ThreadsReadTheSameSamples) {
  TemporaryFolder folder;
  write_file(folder / "a.wav", testing::wav_int16(testing::sine_int16(100, 8000, 8000), 8000));
  const AudioReaders readers;
  const auto alone = readers.read(folder / "a.wav", 0, 0, 16000);
  std::vector<std::vector<float>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) threads.emplace_back([&] { result = readers.read(folder / "a.wav", 0, 0, 16000); });
  }
  for (const auto& result : results) EXPECT_EQ(result, alone);
}

TEST(Flac, InMemoryRoundTripIsExact) {
  const auto samples = testing::sine_int16(440, 16000, 10001);
  const auto bytes = encode_flac(samples, 16000);
  EXPECT_LT(bytes.size(), samples.size() * 2);
  EXPECT_EQ(decode_flac(bytes, "memory"), samples);
}

TEST(Int16, RoundsToNearestAndClips) {
  EXPECT_EQ(to_int16(std::vector<float>{1.0f, -1.0f, 0.6f / 32768, 0.4f / 32768, 2.0f, -2.0f}),
            (std::vector<int16_t>{32767, -32768, 1, 0, 32767, -32768}));
}

TEST(SndfileReader, OpusAtFortyEightKilohertzIsResampled) {
  TemporaryFolder folder;
  SF_INFO info{.samplerate = 48000, .channels = 1, .format = SF_FORMAT_OGG | SF_FORMAT_OPUS};
  SNDFILE* file = sf_open((folder / "a.opus").c_str(), SFM_WRITE, &info);
  ASSERT_NE(file, nullptr) << sf_strerror(nullptr);
  const auto tone = testing::sine(440, 48000, 48000);
  EXPECT_EQ(sf_writef_float(file, tone.data(), 48000), 48000);
  sf_close(file);
  const auto read = AudioReaders().read(folder / "a.opus", 0, 0, 16000);
  EXPECT_NEAR(static_cast<double>(read.size()), 16000, 16000 * 0.03);
  double energy = 0;
  for (size_t i = 4000; i < 12000; ++i) energy += read[i] * read[i];
  EXPECT_NEAR(std::sqrt(energy / 8000), 0.5 / std::sqrt(2.0), 0.02);
}

double tolerance_s(const std::string& path) {
  return path.ends_with(".mp3") ? 0.080 : 0.030;
}

TEST(RealSpeech, EveryFormatDecodesToTheDurationOfItsManifest) {
  REHEARSE_NEEDS_REAL_SPEECH(folder);
  const AudioReaders readers;
  std::map<std::string, int> read_of_format;
  for (const auto& utterance : read_manifest((*folder / "all_train.jsonl").string())) {
    const std::string extension = fs::path(utterance.audio_path).extension();
    if (++read_of_format[utterance.domain + extension] > 3) continue;
    const double decoded = static_cast<double>(readers.read(utterance.audio_path, 0, 0, 16000).size()) / 16000;
    EXPECT_NEAR(decoded, utterance.duration_s, tolerance_s(extension)) << utterance.audio_path;
    EXPECT_NEAR(readers.duration_s(utterance.audio_path), decoded, 0.001) << utterance.audio_path;
  }
  EXPECT_GE(read_of_format.size(), 10u);
}

TEST(RealSpeech, APartEqualsThatPartOfTheWhole) {
  REHEARSE_NEEDS_REAL_SPEECH(folder);
  const AudioReaders readers;
  std::map<std::string, int> read_of_format;
  for (const auto& utterance : read_manifest((*folder / "all_train.jsonl").string())) {
    const std::string extension = fs::path(utterance.audio_path).extension();
    if (utterance.duration_s < 1 || read_of_format[extension] == 2) continue;
    ++read_of_format[extension];
    SoundFile whole(utterance.audio_path);
    SoundFile part(utterance.audio_path);
    const auto all = whole.read_mono(std::numeric_limits<int64_t>::max());
    const int64_t first = part.sample_rate_hz() / 2;
    part.seek(first);
    const auto samples = part.read_mono(1000);
    ASSERT_EQ(samples.size(), 1000u) << utterance.audio_path;
    for (size_t i = 0; i < samples.size(); ++i)
      ASSERT_NEAR(samples[i], all[static_cast<size_t>(first) + i], 1e-3) << utterance.audio_path << " sample " << i;
  }
  EXPECT_GE(read_of_format.size(), 3u);
}

}  // namespace
}  // namespace rehearse
