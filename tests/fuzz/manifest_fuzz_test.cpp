#include <gtest/gtest.h>
#include <zlib.h>

#include <tuple>

#include "data/speech/import/importer.h"
#include "data/speech/manifest.h"
#include "data/speech/pack/packed.h"
#include "mutation.h"
#include "tests/data/speech/audio_support.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"
#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

constexpr int kRounds = 250;

TEST(ManifestFuzz, AMutatedManifestIsReadOrRefused) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  const std::string good =
      R"({"audio_filepath": "a/b.wav", "text": "Привет \u00e9", "domain": "d", "duration": 1.5, "offset": 2e-1})"
      "\r\n\n"
      R"({"audio_filepath": "c.wav", "text": "", "domain": "e", "duration": 3, "id": "#00ff", "speaker": null})";
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    write_file(folder / "m.jsonl", testing::mutated(good, RandomKey(seed).with(round)));
    try {
      for (const auto& utterance : read_manifest(folder / "m.jsonl")) {
        EXPECT_GT(utterance.duration_s, 0);
        EXPECT_FALSE(utterance.domain.empty());
      }
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0) << "seed " << seed;
  EXPECT_LT(refused, kRounds) << "seed " << seed;
}

// What any program writes into a field, right or wrong.
std::string some_value(const RandomKey& key) {
  static const std::vector<std::string> kValues = {"null",
                                                   "true",
                                                   "0",
                                                   "-1",
                                                   "1.5",
                                                   "1e400",
                                                   "NaN",
                                                   "9007199254740993",
                                                   "18446744073709551616",
                                                   "\"\"",
                                                   "\"2.3\"",
                                                   "\"0.6 s\"",
                                                   "\"a\\u001b[2J\"",
                                                   "\"\\u202e\"",
                                                   "\"\\ud800\"",
                                                   "[1]",
                                                   "[[[[]]]]",
                                                   "{}",
                                                   "{\"a\": 1}",
                                                   "\"x.wav\"",
                                                   "\"d\""};
  return kValues[key.below(kValues.size(), 7)];
}

std::string line_of_any_types(const RandomKey& key) {
  std::string line = "{";
  int field_index = 0;
  for (const char* field : {"audio_filepath", "text", "domain", "duration", "offset", "channel", "id", "speaker",
                            "lang", "license", "source", "audio_filename"}) {
    const RandomKey own = key.with(static_cast<uint64_t>(++field_index));
    if (own.below(4, 0) == 0) continue;
    const bool is_number = std::string(field) == "duration";
    const std::string usual = is_number ? "1.5" : std::string(field) == "channel" ? "1" : "\"x.wav\"";
    line += concat(line.size() > 1 ? ", " : "", "\"", field, "\": ", own.below(3, 1) != 0 ? usual : some_value(own));
  }
  return line + "}\n";
}

TEST(ManifestFuzz, FieldsOfAnyTypeAreReadOrRefusedByName) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  int refused = 0, read = 0;
  for (int round = 0; round < 4 * kRounds; ++round) {
    write_file(folder / "m.jsonl", line_of_any_types(RandomKey(seed).with(round)));
    try {
      for (const Utterance& utterance : read_manifest(folder / "m.jsonl")) {
        EXPECT_TRUE(utterance.duration_s > 0 && utterance.offset_s >= 0 && utterance.channel.value_or(0) >= 0);
        for (const std::string& name : {utterance.domain, utterance.speaker, utterance.lang, utterance.license})
          EXPECT_EQ(printable(name), name);
        ++read;
      }
    } catch (const DataError& failure) {
      EXPECT_NE(std::string(failure.what()).find("m.jsonl:1: "), std::string::npos) << failure.what();
      EXPECT_EQ(printable_lines(failure.what()), failure.what());
      ++refused;
    }
  }
  EXPECT_GT(refused, 0) << "seed " << seed;
  EXPECT_GT(read, 0) << "seed " << seed;
}

TEST(ManifestFuzz, ADamagedGzipIsReadOrRefused) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 50; ++i)
    lines +=
        concat(R"({"audio_filepath": ")", i, R"(.wav", "text": "some words", "domain": "d", "duration": 1})", "\n");
  gzFile file = gzopen((folder / "good.gz").c_str(), "wb");
  ASSERT_EQ(gzwrite(file, lines.data(), static_cast<unsigned>(lines.size())), static_cast<int>(lines.size()));
  gzclose(file);
  const std::string good = testing::read_file(folder / "good.gz");
  for (int round = 0; round < kRounds; ++round) {
    write_file(folder / "m.gz", testing::mutated(good, RandomKey(seed).with(round)));
    try {
      EXPECT_LE(read_manifest(folder / "m.gz").size(), 50u) << "seed " << seed;
    } catch (const DataError&) {
    }
  }
}

// Whatever a table, a transcript or a foreign manifest says: no row is taken over with a part of another's field.
TEST(ManifestFuzz, DamagedDescriptionsOfForeignCorporaAreReadOrRefused) {
  const uint64_t seed = testing::fuzz_seed();
  const std::string rows = "s0\tc0.wav\t\"zero\"\tteens\tde\ns1\tc1.wav\tone\tteens\tde\n";
  const std::vector<std::tuple<std::string, std::string, std::string>> sources = {
      {"commonvoice", "cv/train.tsv", "client_id\tpath\tsentence\tage\tlocale\n" + rows},
      {"librispeech", "ls/dev/1/2/1-2.trans.txt", "1-2-0000 HELLO THERE\n1-2-0001 YES\n"},
      {"mls", "mls/dev/transcripts.txt", "1_2_000\thallo\n1_2_001\twelt\n"},
      {"nemo", "nemo/m.json",
       R"({"audio_filepath": "a.wav", "text": "a", "offset": "0.5"})"
       "\n"}};
  ConfigValue no_options;
  no_options.kind = ConfigValue::Kind::kMap;
  for (const auto& [layout, file, good] : sources) {
    TemporaryFolder folder;
    const auto importer = Registry<Importer>::instance().create(layout, ConfigNode(&no_options, "import"), {});
    for (int round = 0; round < kRounds; ++round) {
      write_file(folder / file, testing::mutated(good, RandomKey(seed).with(round)));
      try {
        const ImportedCorpus corpus = importer->read(folder / file.substr(0, file.find('/')));
        for (const ImportedUtterance& item : corpus.items) {
          const bool is_table = layout == "commonvoice" || layout == "mls";
          EXPECT_TRUE(!is_table || item.utterance.text.find('\t') == std::string::npos) << "seed " << seed;
          EXPECT_FALSE(item.origin.empty());
        }
      } catch (const DataError&) {
      }
    }
  }
}

TEST(ManifestFuzz, MutatedPackContentsAreReadOrRefused) {
  const uint64_t seed = testing::fuzz_seed();
  TemporaryFolder folder;
  const std::string good =
      R"({"format": "rehearse-pack", "version": 1, "sample_rate_hz": 16000, "shards": [{"file": "shard-00000.h5", )"
      R"("sha256": "00", "bytes": 5, "utterances": 1, "samples": 9}]})";
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    write_file(folder / "pack.json", testing::mutated(good, RandomKey(seed).with(round)));
    try {
      read_pack_contents(folder.path());
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0) << "seed " << seed;
}

}  // namespace
}  // namespace rehearse
