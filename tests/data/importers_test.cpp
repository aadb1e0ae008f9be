#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "audio_support.h"
#include "data/import_corpus.h"
#include "data/importers/importer.h"
#include "data/sound_file.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using testing::TemporaryFolder;
using testing::write_file;

std::unique_ptr<Importer> importer(const std::string& name, const std::string& domain = "") {
  ConfigValue no_options;
  no_options.kind = ConfigValue::Kind::kMap;
  return Registry<Importer>::instance().create(name, ConfigNode(&no_options, "import"), {domain});
}

ImportSummary import(const std::string& name, const std::string& source, const TemporaryFolder& folder,
                     const std::string& domain = "") {
  return import_corpus(*importer(name, domain), source, folder / "out", AudioReaders());
}

std::string flac(size_t samples) {
  const auto bytes = encode_flac(testing::sine_int16(300, 16000, samples), 16000);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string wav(size_t samples) {
  return testing::wav_int16(testing::sine_int16(300, 8000, samples), 8000);
}

TEST(Importers, EveryRegisteredExampleNamesItsOwnType) {
  for (const auto& [name, entry] : Registry<Importer>::instance().entries()) {
    Config config = Config::parse(entry.example);
    EXPECT_NE(Registry<Importer>::instance().create(config.root(), {}), nullptr) << name;
    EXPECT_NO_THROW(config.root().expect_all_read()) << name;
  }
}

TEST(Importers, AnUnknownLayoutListsTheKnownOnes) {
  try {
    importer("kaldi");
    FAIL();
  } catch (const ConfigError& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("commonvoice, librispeech, nemo"));
  }
}

TEST(Importers, RefuseASourceThatIsNotThere) {
  for (const auto& [name, entry] : Registry<Importer>::instance().entries())
    EXPECT_THROW(importer(name)->read("/nonexistent"), DataError) << name;
}

TEST(Importers, RefuseAnEmptyFolder) {
  TemporaryFolder folder;
  for (const auto& [name, entry] : Registry<Importer>::instance().entries())
    EXPECT_THROW(importer(name)->read(folder.path()), DataError) << name;
}

TEST(LibrispeechImporter, ReadsSubsetsSpeakersAndTextsAndListsBrokenFiles) {
  TemporaryFolder folder;
  const std::string train = folder / "LibriSpeech/train-clean/19/198/";
  const std::string dev = folder / "LibriSpeech/dev-clean/84/12/";
  write_file(train + "19-198.trans.txt", "19-198-0000 HELLO THERE\r\n19-198-0001 BROKEN\n\n19-198-0002 ABSENT\n");
  write_file(train + "19-198-0000.flac", flac(16000));
  write_file(train + "19-198-0001.flac", "no audio");
  write_file(dev + "84-12.trans.txt", "84-12-0000 IT'S\n");
  write_file(dev + "84-12-0000.wav", wav(4000));
  const ImportSummary summary = import("librispeech", folder / "LibriSpeech", folder);

  EXPECT_EQ(summary.utterances, 2u);
  EXPECT_DOUBLE_EQ(summary.seconds, 1.5);
  EXPECT_THAT(summary.subsets, ElementsAre(Pair("dev-clean", 1), Pair("train-clean", 1)));
  ASSERT_EQ(summary.rejected.size(), 2u);
  EXPECT_THAT(summary.rejected[0].source, HasSubstr("19-198-0001.flac"));
  EXPECT_THAT(summary.rejected[0].reason, HasSubstr("found text"));
  EXPECT_THAT(summary.rejected[1].reason, HasSubstr("no such file"));
  EXPECT_THAT(testing::read_file(folder / "out/rejected.jsonl"), HasSubstr("19-198-0002"));

  const auto utterances = read_manifest(folder / "out/train-clean.jsonl");
  ASSERT_EQ(utterances.size(), 1u);
  EXPECT_EQ(utterances[0].text, "HELLO THERE");
  EXPECT_EQ(utterances[0].speaker, "19");
  EXPECT_EQ(utterances[0].domain, "librispeech");
  EXPECT_EQ(utterances[0].duration_s, 1.0);
  EXPECT_EQ(AudioReaders().read(utterances[0].audio_path, 0, 0, 16000).size(), 16000u);
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").size(), 2u);
}

TEST(LibrispeechImporter, OneSubsetHasAManifestOfItsOwnToo) {
  TemporaryFolder folder;
  write_file(folder / "dev/1/2/1-2.trans.txt", "1-2-0000 A\n");
  write_file(folder / "dev/1/2/1-2-0000.flac", flac(16000));
  const ImportSummary summary = import("librispeech", folder / "dev", folder, "books");
  EXPECT_THAT(summary.subsets, ElementsAre(Pair("dev", 1)));
  EXPECT_EQ(testing::read_file(folder / "out/dev.jsonl"), testing::read_file(folder / "out/manifest.jsonl"));
  EXPECT_FALSE(fs::exists(folder / "out/rejected.jsonl"));
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").at(0).domain, "books");
}

TEST(CommonvoiceImporter, ReadsTablesOnceEachClipAndUnquotes) {
  TemporaryFolder folder;
  const std::string header = "client_id\tpath\tsentence\tup_votes\tlocale\n";
  const std::string first = std::string(40, 'a') + "\tone.mp3\tEins, zwei.\t2\tde\n";
  write_file(folder / "cv/train.tsv", header + first);
  write_file(folder / "cv/validated.tsv",
             header + first + "b\ttwo\t\"\"\"Ja\"\", sagte er\"\t2\tde\nc\t\tno clip\t0\tde\n");
  write_file(folder / "cv/clips/one.mp3", wav(8000));
  write_file(folder / "cv/clips/two.mp3", wav(4000));
  const ImportSummary summary = import("commonvoice", folder / "cv", folder);

  EXPECT_EQ(summary.utterances, 2u);
  EXPECT_THAT(summary.subsets, ElementsAre(Pair("train", 1), Pair("validated", 2)));
  ASSERT_EQ(summary.rejected.size(), 1u);
  EXPECT_THAT(summary.rejected[0].source, HasSubstr("validated.tsv:4"));
  const auto utterances = read_manifest(folder / "out/validated.jsonl");
  EXPECT_EQ(utterances.at(0).speaker, std::string(16, 'a'));
  EXPECT_EQ(utterances.at(0).domain, "commonvoice_de");
  EXPECT_EQ(utterances.at(1).text, "\"Ja\", sagte er");
  EXPECT_EQ(utterances.at(1).lang, "de");
}

TEST(CommonvoiceImporter, ATableWithoutItsColumnsIsRefused) {
  TemporaryFolder folder;
  write_file(folder / "other.tsv", "path\ttext\n");
  EXPECT_THROW(importer("commonvoice")->read(folder / "other.tsv"), DataError);
}

TEST(NemoImporter, ReadsOffsetsMeasuresAbsentDurationsAndListsBadLines) {
  TemporaryFolder folder;
  write_file(folder / "src/a.wav", wav(16000));
  write_file(folder / "src/train.json",
             R"({"audio_filepath": "a.wav", "text": "first", "duration": 0.5, "speaker": 12})"
             "\n"
             R"({"audio_filepath": "a.wav", "text": "second", "offset": 0.5})"
             "\n\n"
             R"({"audio_filepath": "a.wav", "text": "lies", "duration": 9})"
             "\n"
             R"({"audio_filepath": "a.wav"})"
             "\nnot json\n"
             R"({"audio_filepath": "a.wav", "text": "negative", "duration": -1})"
             "\n");
  const ImportSummary summary = import("nemo", folder / "src/train.json", folder);
  EXPECT_EQ(summary.utterances, 2u);
  ASSERT_EQ(summary.rejected.size(), 4u);
  const auto utterances = read_manifest(folder / "out/manifest.jsonl");
  EXPECT_EQ(utterances.at(0).duration_s, 0.5);
  EXPECT_EQ(utterances.at(0).speaker, "12");
  EXPECT_EQ(utterances.at(0).domain, "train");
  EXPECT_EQ(utterances.at(1).offset_s, 0.5);
  EXPECT_EQ(utterances.at(1).duration_s, 1.5);
}

TEST(NemoImporter, EqualFileNamesInDifferentFoldersGetDifferentIdsAndRepetitionsAreListed) {
  TemporaryFolder folder;
  write_file(folder / "src/x/1.wav", wav(8000));
  write_file(folder / "src/y/1.wav", wav(8000));
  const std::string x = R"({"audio_filepath": "x/1.wav", "text": "x"})";
  const std::string y = R"({"audio_filepath": "y/1.wav", "text": "y"})";
  write_file(folder / "src/m.json", x + "\n" + y + "\n" + x + "\n");
  const ImportSummary summary = import("nemo", folder / "src/m.json", folder);
  EXPECT_EQ(summary.utterances, 2u);
  ASSERT_EQ(summary.rejected.size(), 1u);
  EXPECT_THAT(summary.rejected[0].reason, HasSubstr("repeats"));
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").size(), 2u);
}

TEST(NemoImporter, ASubsetNamedManifestDoesNotReplaceTheWhole) {
  TemporaryFolder folder;
  write_file(folder / "src/a.wav", wav(8000));
  write_file(folder / "src/b.wav", wav(8000));
  write_file(folder / "src/manifest.json", R"({"audio_filepath": "a.wav", "text": "a", "domain": "d"})");
  write_file(folder / "src/test.json", R"({"audio_filepath": "b.wav", "text": "b", "domain": "d"})");
  import("nemo", folder / "src", folder);
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").size(), 2u);
  EXPECT_EQ(read_manifest(folder / "out/manifest_subset.jsonl").size(), 1u);
}

TEST(ImportCorpus, RefusesACorpusWithNothingUsable) {
  TemporaryFolder folder;
  write_file(folder / "m.json", R"({"audio_filepath": "absent.wav", "text": "a"})");
  try {
    import("nemo", folder / "m.json", folder);
    FAIL();
  } catch (const DataError& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("no such file"));
  }
}

TEST(ImportCorpus, TextThatIsNotUtf8IsListed) {
  TemporaryFolder folder;
  write_file(folder / "s/1/2/1-2.trans.txt", "1-2-0000 \xFF\n1-2-0001 GOOD\n");
  write_file(folder / "s/1/2/1-2-0000.flac", flac(16000));
  write_file(folder / "s/1/2/1-2-0001.flac", flac(16000));
  const ImportSummary summary = import("librispeech", folder / "s", folder);
  EXPECT_EQ(summary.utterances, 1u);
  EXPECT_EQ(summary.rejected.size(), 1u);
}

}  // namespace
}  // namespace rehearse
