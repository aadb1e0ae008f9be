#include "importer_support.h"

namespace rehearse {
namespace {

using testing::flac;
using ::testing::HasSubstr;
using testing::import;
using testing::importer;
using testing::TemporaryFolder;
using testing::wav;
using testing::write_file;

TEST(ImportCorpus, RefusesACorpusWithNothingUsable) {
  TemporaryFolder folder;
  write_file(folder / "m.json", R"({"audio_filepath": "absent.wav", "text": "a"})");
  try {
    import("nemo", folder / "m.json", folder);
    FAIL();
  } catch (const DataError& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("found neither"));
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

TEST(ImportCorpus, NamesThatMoveTheCursorAreListed) {
  TemporaryFolder folder;
  write_file(folder / "s/1/2/1-2.trans.txt", "1-2-0000 GOOD\n\x1b[31m-2-0001 RED\n");
  write_file(folder / "s/1/2/1-2-0000.flac", flac(16000));
  const ImportSummary summary = import("librispeech", folder / "s", folder);
  EXPECT_THAT(summary.rejected.at(0).reason, HasSubstr("speaker: expected a name without control characters"));
}

TEST(ImportCorpus, FoldersThatCannotBeReadAreListedAndDoNotEndTheImport) {
  TemporaryFolder folder;
  write_file(folder / "s/d/1/2/1-2.trans.txt", "1-2-0000 GOOD\n");
  write_file(folder / "s/d/1/2/1-2-0000.flac", flac(16000));
  fs::create_symlink("itself", folder / "s/itself");
  const ImportSummary summary = import("librispeech", folder / "s", folder);
  EXPECT_EQ(summary.utterances, 1u);
  ASSERT_EQ(summary.skipped.size(), 1u);
  EXPECT_THAT(summary.skipped[0].source, ::testing::EndsWith("s/itself"));
  EXPECT_THAT(testing::read_file(folder / "out/rejected.jsonl"), HasSubstr("s/itself"));
  fs::remove(folder / "s/d/1/2/1-2-0000.flac");
  EXPECT_THAT(testing::import_failure("librispeech", folder / "s", folder),
              HasSubstr("the first: " + (folder / "s/d/")));
}

TEST(ImportCorpus, PathsThatAreTooLongAreRefusedAndNotABug) {
  TemporaryFolder folder;
  const std::string long_name(300, 'x'), long_path = "/" + std::string(5000, 'y');
  for (const auto& [name, entry] : Registry<Importer>::instance().entries())
    for (const std::string& source : {folder / long_name, long_path})
      EXPECT_THROW(importer(name)->read(source), DataError) << name;
  write_file(folder / "a.wav", wav(8000));
  write_file(folder / "m.json", R"({"audio_filepath": "a.wav", "text": "a"})"
                                "\n" +
                                    concat(R"({"audio_filepath": ")", long_name, R"(", "text": "b"})", "\n"));
  EXPECT_EQ(import("nemo", folder / "m.json", folder).rejected.size(), 1u);
}

}  // namespace
}  // namespace rehearse
