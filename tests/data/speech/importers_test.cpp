#include "importer_support.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using testing::flac;
using ::testing::HasSubstr;
using testing::import;
using testing::import_failure;
using testing::importer;
using ::testing::Pair;
using testing::TemporaryFolder;
using testing::wav;
using testing::write_file;

TEST(Importers, EveryRegisteredExampleNamesItsOwnType) {
  for (const auto& [name, entry] : Registry<Importer>::instance().entries()) {
    Config config = Config::parse(entry.example);
    EXPECT_NE(Registry<Importer>::instance().create(config.root(), {}), nullptr) << name;
    EXPECT_NO_THROW(config.root().expect_all_read()) << name;
  }
}

TEST(Importers, AnUnknownLayoutListsTheKnownOnes) {
  try {
    importer("no_such_layout");
    FAIL();
  } catch (const ConfigError& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("commonvoice, librispeech, mls, nemo"));
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
  EXPECT_EQ(utterances[0].lang, "") << "nothing there says so";
  EXPECT_EQ(utterances[0].license, "");
  EXPECT_EQ(utterances[0].duration_s, 1.0);
  EXPECT_EQ(AudioReaders().read(utterances[0].audio_path, 0, 0, 16000).size(), 16000u);
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").size(), 2u);
}

TEST(LibrispeechImporter, OneSubsetHasAManifestOfItsOwnToo) {
  TemporaryFolder folder;
  write_file(folder / "dev/1/2/1-2.trans.txt", "1-2-0000 A\n");
  write_file(folder / "dev/1/2/1-2-0000.flac", flac(16000));
  const ImportSummary summary = import("librispeech", folder / "dev", folder, {.domain = "books"});
  EXPECT_THAT(summary.subsets, ElementsAre(Pair("dev", 1)));
  EXPECT_EQ(testing::read_file(folder / "out/dev.jsonl"), testing::read_file(folder / "out/manifest.jsonl"));
  EXPECT_FALSE(fs::exists(folder / "out/rejected.jsonl"));
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").at(0).domain, "books");
}

TEST(LibrispeechImporter, LanguageAndLicenseComeFromTheCorpusOwnPagesOrFromOptions) {
  TemporaryFolder folder;
  write_file(folder / "Libri/dev/1/2/1-2.trans.txt", "1-2-0000 A\n");
  write_file(folder / "Libri/dev/1/2/1-2-0000.flac", flac(16000));
  write_file(folder / "Libri/README.TXT", "a corpus of read English speech\n");
  write_file(folder / "Libri/LICENSE.TXT", "Creative Commons Attribution 4.0 International License\n");
  for (const char* source : {"Libri", "Libri/dev"}) {
    import("librispeech", folder / source, folder);
    const Utterance said = read_manifest(folder / "out/manifest.jsonl").at(0);
    EXPECT_EQ(said.lang, "en") << source;
    EXPECT_EQ(said.license, "CC-BY-4.0") << source;
  }
  import("librispeech", folder / "Libri", folder, {.lang = "de", .license = "own"});
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").at(0).lang, "de");
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").at(0).license, "own");
}

TEST(LibrispeechImporter, LeavesWhatSystemsPutThereAloneAndFollowsLinksOnce) {
  TemporaryFolder folder;
  const std::string chapter = folder / "s/dev/84/12/";
  write_file(chapter + "84-12.trans.txt", "84-12-0000 HELLO\n84-12-\x1b[2J\x1b[31m TEXT\nalone\n");
  write_file(chapter + "84-12-0000.flac", flac(16000));
  write_file(chapter + "._84-12.trans.txt", std::string("\0\5\26\7Mac OS X", 12));
  write_file(folder / "elsewhere/7/1/7-1.trans.txt", "7-1-0000 LINKED\n");
  write_file(folder / "elsewhere/7/1/7-1-0000.flac", flac(8000));
  fs::create_directory_symlink(folder / "elsewhere", folder / "s/train");
  fs::create_directory_symlink(folder / "s", folder / "s/dev/loop");
  fs::create_directory_symlink(folder / "s/dev", folder / "s/again");
  const ImportSummary summary = import("librispeech", folder / "s", folder);
  EXPECT_THAT(summary.subsets, ElementsAre(Pair("dev", 1), Pair("train", 1)));
  ASSERT_EQ(summary.rejected.size(), 2u);
  EXPECT_THAT(summary.rejected[0].source, HasSubstr("84-12.trans.txt:3"));
  EXPECT_THAT(summary.rejected[1].source, HasSubstr("84-12.trans.txt:2"));
}

TEST(LibrispeechImporter, NamesTheLayoutOfMultilingualLibrispeech) {
  TemporaryFolder folder;
  write_file(folder / "mls/dev/transcripts.txt", "1_2_000\thallo\n");
  EXPECT_THAT(import_failure("librispeech", folder / "mls", folder), HasSubstr("use `import mls`"));
}

TEST(MlsImporter, ReadsTranscriptsBesideTheirAudio) {
  TemporaryFolder folder;
  write_file(folder / "mls/dev/transcripts.txt", "1_2_000\thallo welt\r\nno tab\n3_4_001\tfehlt\n");
  write_file(folder / "mls/dev/audio/1/2/1_2_000.flac", flac(16000));
  const ImportSummary summary = import("mls", folder / "mls", folder, {.lang = "de"});
  EXPECT_THAT(summary.subsets, ElementsAre(Pair("dev", 1)));
  EXPECT_EQ(summary.rejected.size(), 2u);
  const Utterance read = read_manifest(folder / "out/manifest.jsonl").at(0);
  EXPECT_EQ(read.text, "hallo welt");
  EXPECT_EQ(read.speaker, "1");
  EXPECT_EQ(read.lang, "de");
}

}  // namespace
}  // namespace rehearse
