#include "data/speech/pack/packed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "audio_support.h"
#include "data/speech/audio/sound_file.h"
#include "data/speech/pack/packed_audio.h"
#include "data/speech/sound/byte_source.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::write_file;

struct Source {
  std::vector<Utterance> utterances;
  std::vector<std::string> lines;
};

// Utterances of different rates and lengths, one with an offset and one with an explicit id and a foreign field.
Source make_source(const TemporaryFolder& folder, int count, const std::string& name = "src") {
  std::string manifest;
  for (int i = 0; i < count; ++i) {
    const int rate = i % 2 == 0 ? 8000 : 16000;
    const std::string file = name + "-" + std::to_string(i) + ".wav";
    write_file(folder / file, testing::wav_int16(testing::sine_int16(200 + 50 * i, rate, rate + 37 * i), rate));
    nlohmann::json line = {{"audio_filepath", file}, {"text", "t"}, {"domain", "d"}, {"duration", 1.0 + 0.001 * i}};
    if (i == 1) line["offset"] = 0.25;
    if (i == 2) line["id"] = "explicit-" + name;
    if (i == 2) line["text_spoken"] = "kept";
    manifest += line.dump() + "\n";
  }
  write_file(folder / (name + ".jsonl"), manifest);
  Source source;
  scan_manifest(folder / (name + ".jsonl"), [&](Utterance&& utterance, const std::string& line) {
    source.utterances.push_back(std::move(utterance));
    source.lines.push_back(line);
  });
  return source;
}

std::vector<float> original(const Utterance& utterance) {
  return AudioReaders().read(utterance.audio_path, utterance.offset_s, utterance.duration_s, 16000);
}

void pack(const Source& source, const fs::path& folder, const PackWriter::Options& options, FileLayer& files) {
  PackWriter writer(folder, options, files);
  for (size_t i = 0; i < source.utterances.size(); ++i)
    if (!writer.has(source.utterances[i].id))
      writer.add(source.utterances[i], source.lines[i], original(source.utterances[i]));
  writer.finish();
}

void expect_same_corpus(const std::vector<Utterance>& before, const std::string& manifest) {
  const auto after = read_manifest(manifest);
  const AudioReaders readers;
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].id, before[i].id);
    EXPECT_EQ(after[i].duration_s, before[i].duration_s);
    EXPECT_EQ(after[i].offset_s, 0);
    const auto expected = from_int16(to_int16(original(before[i])));
    EXPECT_EQ(readers.read(after[i].audio_path, 0, after[i].duration_s, 16000), expected) << after[i].audio_path;
    EXPECT_EQ(readers.read(after[i].audio_path, 0, 0, 16000), expected) << after[i].audio_path;
  }
}

class PackedCorpus : public ::testing::TestWithParam<PackEncoding> {
 protected:
  PackWriter::Options options() const { return {.encoding = GetParam(), .shard_bytes = 128 << 10}; }
  TemporaryFolder folder_;
  FileLayer files_;
};
INSTANTIATE_TEST_SUITE_P(Encodings, PackedCorpus, ::testing::Values(PackEncoding::kInt16, PackEncoding::kFlac),
                         [](const auto& info) { return info.param == PackEncoding::kFlac ? "Flac" : "Int16"; });

TEST_P(PackedCorpus, ReadsBackDecodedResampledAndRoundedExactly) {
  const Source source = make_source(folder_, 5);
  pack(source, folder_ / "pack", options(), files_);
  expect_same_corpus(source.utterances, folder_ / "pack/manifest.jsonl");
}

TEST_P(PackedCorpus, KeepsFieldsItDoesNotKnow) {
  pack(make_source(folder_, 3), folder_ / "pack", options(), files_);
  EXPECT_THAT(testing::read_file(folder_ / "pack/manifest.jsonl"), HasSubstr("\"text_spoken\":\"kept\""));
}

TEST_P(PackedCorpus, APartIsThatPartOfTheWhole) {
  const Source source = make_source(folder_, 1);
  pack(source, folder_ / "pack", options(), files_);
  const AudioReaders readers;
  const std::string path = folder_ / "pack/shard-00000.h5#0";
  const auto whole = readers.read(path, 0, 0, 16000);
  EXPECT_EQ(readers.read(path, 0.5, 0.25, 16000), std::vector<float>(whole.begin() + 8000, whole.begin() + 12000));
  EXPECT_THROW(readers.read(path, 2, 1, 16000), DataError);
  EXPECT_DOUBLE_EQ(readers.duration_s(path), static_cast<double>(whole.size()) / 16000);
}

TEST_P(PackedCorpus, AppendingMakesNewShardsAndLeavesTheOldOnesAlone) {
  Source source = make_source(folder_, 3);
  pack(source, folder_ / "pack", options(), files_);
  const auto before = read_pack_contents(folder_ / "pack").shards;
  const Source more = make_source(folder_, 4, "more");
  pack(more, folder_ / "pack", options(), files_);
  const auto after = read_pack_contents(folder_ / "pack").shards;
  ASSERT_GT(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].sha256, before[i].sha256);
    EXPECT_EQ(sha256_of_file(folder_ / ("pack/" + before[i].file)), before[i].sha256);
  }
  source.utterances.insert(source.utterances.end(), more.utterances.begin(), more.utterances.end());
  expect_same_corpus(source.utterances, folder_ / "pack/manifest.jsonl");
}

TEST_P(PackedCorpus, NoShardIsLongerThanItsLimit) {
  pack(make_source(folder_, 9), folder_ / "pack", options(), files_);
  const auto shards = read_pack_contents(folder_ / "pack").shards;
  EXPECT_GE(shards.size(), GetParam() == PackEncoding::kInt16 ? 3u : 1u);
  for (const auto& shard : shards) EXPECT_LE(fs::file_size(folder_ / ("pack/" + shard.file)), options().shard_bytes);
}

TEST_P(PackedCorpus, PackingAgainAddsNothing) {
  const Source source = make_source(folder_, 3);
  pack(source, folder_ / "pack", options(), files_);
  const std::string before = testing::read_file(folder_ / "pack/pack.json");
  pack(source, folder_ / "pack", options(), files_);
  EXPECT_EQ(testing::read_file(folder_ / "pack/pack.json"), before);
}

TEST_P(PackedCorpus, AFlippedBitAnywhereIsNoticedAndNamesTheShard) {
  pack(make_source(folder_, 2), folder_ / "pack", options(), files_);
  const std::string path = folder_ / "pack/shard-00000.h5";
  const std::string good = testing::read_file(path);
  for (size_t at : {size_t{0}, size_t{9}, size_t{100}, good.size() / 2, good.size() - 1}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    write_file(path, bad);
    try {
      AudioReaders().read(path + "#0", 0, 0, 16000);
      ADD_FAILURE() << "byte " << at << " was not noticed";
    } catch (const DataError& failure) {
      EXPECT_THAT(failure.what(), HasSubstr("shard-00000.h5: expected sha256")) << at;
    }
  }
}

TEST_P(PackedCorpus, ATruncatedShardIsNoticedAndNamed) {
  pack(make_source(folder_, 2), folder_ / "pack", options(), files_);
  const std::string path = folder_ / "pack/shard-00000.h5";
  fs::resize_file(path, fs::file_size(path) - 1);
  const AudioReaders readers;
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      readers.read(path + "#0", 0, 0, 16000);
      ADD_FAILURE();
    } catch (const DataError& failure) {
      EXPECT_THAT(failure.what(), HasSubstr("shard-00000.h5: expected"));
      EXPECT_THAT(failure.what(), HasSubstr("torn"));
    }
  }
}

TEST_P(PackedCorpus, ThreadsReadTheSameSamples) {
  const Source source = make_source(folder_, 6);
  pack(source, folder_ / "pack", options(), files_);
  const auto packed = read_manifest(folder_ / "pack/manifest.jsonl");
  const AudioReaders shared;
  std::vector<std::vector<std::vector<float>>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results)
      threads.emplace_back([&] {
        for (const auto& utterance : packed) result.push_back(shared.read(utterance.audio_path, 0, 0, 16000));
      });
  }
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

// A clock that the test moves, and reads that fail at first.
class PassingTrouble : public ReadLayer {
 public:
  int64_t read_at(int descriptor, std::span<std::byte> to, uint64_t offset) override {
    return num_failures-- > 0 ? -EIO : ReadLayer::read_at(descriptor, to, offset);
  }
  void wait(double seconds) override { time_s += seconds; }
  double now_s() override { return time_s; }
  void say(const std::string&) override {}
  int num_failures = 0;
  double time_s = 0;
};

TEST(PackReader, AFailureThatPassesCostsAFewTriesAndADamagedShardIsReadOnceItIsWhole) {
  TemporaryFolder folder;
  FileLayer files;
  pack(make_source(folder, 3), folder.path() / "pack", {}, files);
  PassingTrouble trouble;
  const AudioReaders readers(AudioReader::Context{.files = &trouble});
  const std::string shard = folder / "pack/shard-00000.h5";
  const std::string whole = testing::read_file(shard);
  write_file(shard, whole.substr(0, whole.size() / 2));
  EXPECT_THROW(readers.read(shard + "#0", 0, 0, 16000), DataError);
  write_file(shard, whole);
  EXPECT_THROW(readers.read(shard + "#0", 0, 0, 16000), DataError) << "not summed up again for every utterance";
  trouble.time_s += 31;
  EXPECT_NO_THROW(readers.read(shard + "#0", 0, 0, 16000));
  trouble.num_failures = 3;
  EXPECT_NO_THROW(readers.read(shard + "#1", 0, 0, 16000));
  trouble.num_failures = 1000;
  EXPECT_THROW(readers.read(shard + "#1", 0, 0, 16000), PassingError);
  trouble.num_failures = 0;
  EXPECT_NO_THROW(readers.read(shard + "#1", 0, 0, 16000)) << "nothing is remembered against it";
}

// Fails at the n-th file operation, as a crash there would look.
class CrashingFiles : public FileLayer {
 public:
  explicit CrashingFiles(int survived) : left_(survived) {}
  void write(const fs::path& path, std::span<const std::byte> bytes) override {
    count();
    FileLayer::write(path, bytes);
  }
  void rename(const fs::path& from, const fs::path& to) override {
    count();
    FileLayer::rename(from, to);
  }
  void sync_folder(const fs::path& folder) override {
    count();
    FileLayer::sync_folder(folder);
  }

 private:
  void count() {
    if (left_-- <= 0) throw CommError("planned crash");
  }
  int left_;
};

TEST(PackWriter, AfterACrashAnywhereWhatIsThereLoadsAndPackingAgainCompletesIt) {
  TemporaryFolder folder;
  const Source source = make_source(folder, 3);
  const PackWriter::Options options{.encoding = PackEncoding::kInt16, .shard_bytes = 64 << 10};
  bool has_finished = false;
  int crashes = 0;
  for (int survived = 0; !has_finished; ++survived) {
    const fs::path pack_folder = folder.path() / ("pack" + std::to_string(survived));
    try {
      CrashingFiles files(survived);
      pack(source, pack_folder, options, files);
      has_finished = true;
    } catch (const CommError&) {
      ++crashes;
    }
    const AudioReaders readers;
    if (fs::exists(pack_folder / "manifest.jsonl")) {
      for (const auto& utterance : read_manifest((pack_folder / "manifest.jsonl").string()))
        EXPECT_NO_THROW(readers.read(utterance.audio_path, 0, 0, 16000)) << "after " << survived << " operations";
    }
    FileLayer files;
    pack(source, pack_folder, options, files);
    expect_same_corpus(source.utterances, (pack_folder / "manifest.jsonl").string());
  }
  EXPECT_GE(crashes, 15);
}

std::string with_new_text(std::string line) {
  return line.replace(line.find(R"("text":"t")"), 10, R"("text":"new")");
}

TEST(PackWriter, ACorrectedTextOutlivesACrashAndARecovery) {
  TemporaryFolder folder;
  const Source source = make_source(folder, 3), more = make_source(folder, 1, "more");
  const PackWriter::Options options{.encoding = PackEncoding::kInt16};
  const std::string manifest = folder / "pack/manifest.jsonl";
  FileLayer files;
  pack(source, folder / "pack", options, files);
  const auto correct = [&](FileLayer& layer) {
    PackWriter writer(folder / "pack", options, layer);
    EXPECT_TRUE(writer.correct(source.utterances[1], with_new_text(source.lines[1])));
    writer.finish();
  };
  for (int survived = 0; survived < 2; ++survived) {
    CrashingFiles crashing(survived);
    EXPECT_THROW(correct(crashing), CommError);
    EXPECT_EQ(read_manifest(manifest).at(1).text, "t");
  }
  correct(files);
  const std::string corrected = testing::read_file(manifest);
  EXPECT_EQ(read_manifest(manifest).at(1).text, "new");
  pack(more, folder / "pack", options, files);
  write_file(manifest, corrected);  // as if the writer had been killed before it appended
  PackWriter(folder / "pack", options, files).finish();
  ASSERT_EQ(read_manifest(manifest).size(), 4u);
  EXPECT_EQ(read_manifest(manifest)[1].text, "new");
  expect_same_corpus({source.utterances[0], source.utterances[1], source.utterances[2], more.utterances[0]}, manifest);
}

TEST(PackWriter, AnAbandonedShardLeavesTheFinishedOnes) {
  TemporaryFolder folder;
  const Source source = make_source(folder, 5);
  FileLayer files;
  {
    PackWriter writer(folder / "pack", {.encoding = PackEncoding::kInt16, .shard_bytes = 64 << 10}, files);
    for (size_t i = 0; i < 5; ++i) writer.add(source.utterances[i], source.lines[i], original(source.utterances[i]));
  }
  EXPECT_EQ(read_manifest(folder / "pack/manifest.jsonl").size(), 4u);
  EXPECT_FALSE(fs::exists(folder / "pack/audio.tmp"));
}

TEST(PackWriter, RefusesAnotherRateASecondWriterAndARepeatedId) {
  TemporaryFolder folder;
  const Source source = make_source(folder, 1);
  FileLayer files;
  PackWriter writer(folder / "pack", {}, files);
  writer.add(source.utterances[0], source.lines[0], original(source.utterances[0]));
  EXPECT_THROW(writer.add(source.utterances[0], source.lines[0], {0.1f}), DataError);
  EXPECT_THROW(writer.add(source.utterances[0], source.lines[0], {}), DataError);
  EXPECT_THROW(PackWriter(folder / "pack", {}, files), ConfigError);
  EXPECT_THROW(PackWriter(folder / "small", {.shard_bytes = 100}, files), ConfigError);
  pack(source, folder / "other", {}, files);
  EXPECT_THROW(PackWriter(folder / "other", {.sample_rate_hz = 8000}, files), ConfigError);
}

TEST(PackContents, RefusesAFileThatIsNotAPack) {
  TemporaryFolder folder;
  const std::string good = R"({"format": "rehearse-pack", "version": 1, "sample_rate_hz": 16000, "shards": []})";
  write_file(folder / "pack.json", good);
  EXPECT_NO_THROW(read_pack_contents(folder.path()));
  for (const std::string bad : {R"({"format": "rehearse-pack", "version": 2, "sample_rate_hz": 16000, "shards": []})",
                                R"({"format": "zip", "version": 1, "sample_rate_hz": 16000, "shards": []})",
                                R"({"format": "rehearse-pack", "version": 1, "shards": []})", "{", ""}) {
    write_file(folder / "pack.json", bad);
    EXPECT_THROW(read_pack_contents(folder.path()), DataError) << bad;
  }
  fs::remove(folder / "pack.json");
  EXPECT_THROW(read_pack_contents(folder.path()), DataError);
}

TEST(PackedPath, IsAShardAndARow) {
  const auto path = parse_packed_path("a/b.h5#12");
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->shard, "a/b.h5");
  EXPECT_EQ(path->row, 12u);
  for (const char* other : {"a.h5", "a.h5#", "a.h5#x", "a.h5#-1", "a.wav#1", "", "#1", "a.h5#99999999999999999999"})
    EXPECT_FALSE(parse_packed_path(other).has_value()) << other;
}

TEST(RealSpeech, APackOfEveryFormatReadsBackExactly) {
  REHEARSE_NEEDS_REAL_SPEECH(speech);
  TemporaryFolder folder;
  Source source;
  int line_number = 0;
  scan_manifest((*speech / "all_valid.jsonl").string(), [&](Utterance&& utterance, const std::string& line) {
    if (line_number++ % 25 != 0) return;
    source.utterances.push_back(std::move(utterance));
    source.lines.push_back(line);
  });
  FileLayer files;
  pack(source, folder / "pack", {}, files);
  expect_same_corpus(source.utterances, folder / "pack/manifest.jsonl");
}

}  // namespace
}  // namespace rehearse
