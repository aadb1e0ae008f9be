#include "data/speech/pack/pack_corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "audio_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::write_file;

std::string line(const std::string& file, double duration_s) {
  return concat(R"({"audio_filepath": ")", file, R"(", "text": "t", "domain": "d", "duration": )", duration_s, "}\n");
}

void write_wav(const std::string& path, size_t samples) {
  write_file(path, testing::wav_int16(testing::sine_int16(300, 16000, samples), 16000));
}

PackSummary pack(const TemporaryFolder& folder, const std::vector<std::string>& manifests) {
  FileLayer files;
  return pack_corpus(manifests, folder / "pack", {}, AudioReaders(), files);
}

TEST(PackCorpus, CountsWhatItPacksAndListsWhatItLeavesOut) {
  TemporaryFolder folder;
  write_wav(folder / "good.wav", 16000);
  write_wav(folder / "torn.wav", 16000);
  write_file(folder / "bad.wav", "no audio");
  write_file(folder / "m.jsonl", line("good.wav", 1) + line("torn.wav", 5) + line("bad.wav", 1));
  const PackSummary summary = pack(folder, {folder / "m.jsonl"});
  EXPECT_EQ(summary.packed, 1u);
  EXPECT_DOUBLE_EQ(summary.seconds, 1.0);
  EXPECT_EQ(summary.shard_bytes, fs::file_size(folder / "pack/shard-00000.h5"));
  ASSERT_EQ(summary.rejected.size(), 2u);
  EXPECT_THAT(summary.rejected[0].reason, HasSubstr("expected 5 s"));
  EXPECT_THAT(summary.rejected[1].reason, HasSubstr("found text"));
  EXPECT_THAT(testing::read_file(folder / "pack/rejected.jsonl"), HasSubstr("bad.wav"));
  EXPECT_EQ(read_manifest(folder / "pack/manifest.jsonl").size(), 1u);
}

TEST(PackCorpus, KeepsTheOneChannelThatItsLineNames) {
  TemporaryFolder folder;
  std::vector<int16_t> stereo;
  for (int i = 0; i < 16000; ++i) stereo.insert(stereo.end(), {1000, -3000});
  write_file(folder / "call.wav", testing::wav_int16(stereo, 16000, 2));
  std::string lines;
  for (int channel : {1, 0})
    lines += concat(R"({"audio_filepath": "call.wav", "text": "t", "domain": "d", "duration": 1, "channel": )", channel,
                    "}\n");
  write_file(folder / "m.jsonl", lines);
  EXPECT_EQ(pack(folder, {folder / "m.jsonl"}).packed, 2u);
  const auto original = read_manifest(folder / "m.jsonl"), packed = read_manifest(folder / "pack/manifest.jsonl");
  ASSERT_EQ(packed.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(packed[i].id, original[i].id);
    EXPECT_EQ(packed[i].channel, std::nullopt) << "the packed audio is that channel";
    const std::vector<float> samples = AudioReaders().read(packed[i].audio_path, 0, 0, 16000);
    EXPECT_EQ(samples[100], (i == 0 ? -3000 : 1000) / 32768.0f);
  }
  EXPECT_EQ(pack(folder, {folder / "m.jsonl"}).updated, 0u);
}

TEST(PackCorpus, AddsOnlyWhatIsNotThereYet) {
  TemporaryFolder folder;
  write_wav(folder / "a.wav", 8000);
  write_wav(folder / "b.wav", 8000);
  write_file(folder / "a.jsonl", line("a.wav", 0.5));
  write_file(folder / "b.jsonl", line("b.wav", 0.5));
  EXPECT_EQ(pack(folder, {folder / "a.jsonl"}).packed, 1u);
  const PackSummary again = pack(folder, {folder / "a.jsonl", folder / "b.jsonl"});
  EXPECT_EQ(again.packed, 1u);
  EXPECT_EQ(again.already_there, 1u);
  EXPECT_EQ(read_manifest(folder / "pack/manifest.jsonl").size(), 2u);
}

TEST(PackCorpus, TakesOverCorrectedTextsAndLeavesTheAudioAlone) {
  TemporaryFolder folder;
  write_wav(folder / "a.wav", 8000);
  write_wav(folder / "b.wav", 8000);
  write_file(folder / "m.jsonl", line("a.wav", 0.5) + line("b.wav", 0.5));
  pack(folder, {folder / "m.jsonl"});
  const auto before = read_manifest(folder / "pack/manifest.jsonl");
  const std::string contents = testing::read_file(folder / "pack/pack.json");
  const std::string corrected =
      R"({"speaker": "s", "audio_filepath": "b.wav", "text": "new", "domain": "d", "duration": 0.50, "lang": "de"})";
  write_file(folder / "m.jsonl", corrected + "\n" + line("a.wav", 0.5));
  const PackSummary again = pack(folder, {folder / "m.jsonl"});
  EXPECT_EQ(again.packed, 0u);
  EXPECT_EQ(again.already_there, 2u);
  EXPECT_EQ(again.updated, 1u);
  EXPECT_EQ(testing::read_file(folder / "pack/pack.json"), contents);
  const auto after = read_manifest(folder / "pack/manifest.jsonl");
  ASSERT_EQ(after.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(after[i].id, before[i].id);
    EXPECT_EQ(after[i].audio_path, before[i].audio_path);
  }
  EXPECT_EQ(after[0].text, "t");
  EXPECT_EQ(after[1].text, "new");
  EXPECT_EQ(after[1].speaker, "s");
  EXPECT_EQ(after[1].lang, "de");
  EXPECT_EQ(pack(folder, {folder / "m.jsonl"}).updated, 0u);
  EXPECT_EQ(pack(folder, {folder / "pack/manifest.jsonl"}).updated, 0u) << "its own lines say the same";
}

TEST(PackCorpus, OtherAudioUnderAPackedIdIsRefused) {
  TemporaryFolder folder;
  write_wav(folder / "a.wav", 16000);
  const auto with_id = [](double duration_s) {
    return concat(R"({"audio_filepath": "a.wav", "id": "one", "text": "t", "domain": "d", "duration": )", duration_s,
                  "}\n");
  };
  write_file(folder / "m.jsonl", with_id(0.5));
  pack(folder, {folder / "m.jsonl"});
  write_file(folder / "m.jsonl", with_id(0.75));
  try {
    pack(folder, {folder / "m.jsonl"});
    FAIL();
  } catch (const DataError& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("duration: expected 0.5 s, as packed under the id #"));
    EXPECT_THAT(failure.what(), HasSubstr("found 0.75 s"));
  }
}

TEST(PackCorpus, APackCanBePackedAgainWithTheSameIdsAndSamples) {
  TemporaryFolder folder;
  write_wav(folder / "a.wav", 8000);
  write_file(folder / "a.jsonl", line("a.wav", 0.5));
  pack(folder, {folder / "a.jsonl"});
  FileLayer files;
  pack_corpus({folder / "pack/manifest.jsonl"}, folder / "second", {.encoding = PackEncoding::kInt16}, AudioReaders(),
              files);
  const auto first = read_manifest(folder / "pack/manifest.jsonl");
  const auto second = read_manifest(folder / "second/manifest.jsonl");
  EXPECT_EQ(second.at(0).id, first.at(0).id);
  EXPECT_EQ(AudioReaders().read(second.at(0).audio_path, 0, 0, 16000),
            AudioReaders().read(first.at(0).audio_path, 0, 0, 16000));
}

TEST(PackCorpus, RefusesEqualIdsAndNothingUsable) {
  TemporaryFolder folder;
  write_wav(folder / "a.wav", 8000);
  write_file(folder / "a.jsonl", line("a.wav", 0.5));
  write_file(folder / "absent.jsonl", line("absent.wav", 0.5));
  EXPECT_THROW(pack(folder, {folder / "a.jsonl", folder / "a.jsonl"}), DataError);
  EXPECT_THROW(pack(folder, {folder / "absent.jsonl"}), DataError);
}

}  // namespace
}  // namespace rehearse
