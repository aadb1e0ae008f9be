#include "importer_support.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::import;
using testing::import_failure;
using testing::importer;
using ::testing::Pair;
using testing::TemporaryFolder;
using testing::wav;
using testing::write_file;

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

constexpr const char* kHeader = "client_id\tpath\tsentence\tage\tlocale\n";

// One table with the given rows; clips c0 to c4 are there.
ImportSummary import_table(const TemporaryFolder& folder, const std::string& table) {
  for (int i = 0; i < 5; ++i) write_file(folder / concat("cv/clips/c", i, ".wav"), wav(8000));
  write_file(folder / "cv/train.tsv", table);
  return import("commonvoice", folder / "cv", folder);
}

std::vector<std::string> texts(const TemporaryFolder& folder) {
  std::vector<std::string> texts;
  for (const Utterance& utterance : read_manifest(folder / "out/manifest.jsonl")) texts.push_back(utterance.text);
  return texts;
}

TEST(CommonvoiceImporter, RowsWithTooManyOrTooFewFieldsAreListed) {
  TemporaryFolder folder;
  const ImportSummary summary = import_table(
      folder, std::string(kHeader) + "s0\tc0.wav\tzero\tteens\ten\n" + "s1\tc1.wav\t\"on\te\"\tteens\ten\n" +
                  "s2\tc2.wav\n" + "s3\tc3.wav\tthree\n" + "s4\tc4.wav\t\tteens\ten\n" + kHeader + "s4\tc4.wav\tfour");
  EXPECT_THAT(texts(folder), ElementsAre("zero"));
  ASSERT_EQ(summary.rejected.size(), 6u);
  EXPECT_THAT(summary.rejected[0].source, ::testing::EndsWith("train.tsv:3"));
  EXPECT_EQ(summary.rejected[0].reason, "expected 5 fields; found 6");
  EXPECT_EQ(summary.rejected[1].reason, "expected 5 fields; found 2");
  EXPECT_EQ(summary.rejected[3].reason, "sentence: expected a text; found nothing");
  EXPECT_EQ(summary.rejected[4].reason, "expected a row; found the header again");
  EXPECT_THAT(summary.rejected[5].reason, HasSubstr("found 3; the table may be cut off here"));
}

TEST(CommonvoiceImporter, ALineBreakInsideQuotesCostsBothHalves) {
  TemporaryFolder folder;
  const ImportSummary summary = import_table(
      folder, "path\tsentence\nc0.wav\tzero\nc1.wav\t\"one\nand more\"\nc2.wav\t\"5 inch\nc3.wav\tthree\n");
  EXPECT_THAT(texts(folder), ElementsAre("zero", "\"5 inch", "three"));
  ASSERT_EQ(summary.rejected.size(), 2u);
  EXPECT_THAT(summary.rejected[0].source, ::testing::EndsWith("train.tsv:3"));
  EXPECT_THAT(summary.rejected[1].reason, HasSubstr("expected 2 fields; found 1, after a line break inside quotes"));
}

TEST(CommonvoiceImporter, ColumnsInAnyOrderAndCaseWithMarkAndCarriageReturns) {
  TemporaryFolder folder;
  import_table(folder,
               "\xEF\xBB\xBF"
               "Locale\tSENTENCE\t Path\r\nde\teins\tc0.wav\r\n\r\nde\tzwei\tc1.wav\r\n");
  EXPECT_THAT(texts(folder), ElementsAre("eins", "zwei"));
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").at(0).domain, "commonvoice_de");
  EXPECT_EQ(read_manifest(folder / "out/manifest.jsonl").at(0).license, "") << "not Common Voice's own columns";
}

TEST(CommonvoiceImporter, QuotationMarksAreTextUnlessAllAreDoubled) {
  TemporaryFolder folder;
  import_table(folder,
               "path\tsentence\nc0.wav\t\"Ja\", sagte \"er\"\nc1.wav\t\"\"Ja\"\" sagte er\nc2.wav\t\"nein\"\n"
               "c3.wav\t5\" lang\nc4.wav\tso\"\n");
  EXPECT_THAT(texts(folder), ElementsAre("\"Ja\", sagte \"er\"", "\"Ja\" sagte er", "nein", "5\" lang", "so\""));
}

TEST(CommonvoiceImporter, ACutLastRowDoesNotMakeUpALanguage) {
  TemporaryFolder folder;
  const ImportSummary summary = import_table(folder, "path\tsentence\tlocale\nc0.wav\tzero\tsv-SE\nc1.wav\tone\tsv");
  EXPECT_THAT(texts(folder), ElementsAre("zero"));
  EXPECT_THAT(summary.rejected.at(0).reason, HasSubstr("may be cut off"));
}

TEST(CommonvoiceImporter, RepeatedRowsAreMergedAndOtherSentencesListed) {
  TemporaryFolder folder;
  write_file(folder / "cv/clips/two.mp3", wav(8000));
  write_file(folder / "cv/validated.tsv", "path\tsentence\nc0.wav\tother text\nc1.wav\tone\n");
  const ImportSummary summary = import_table(
      folder, "path\tsentence\nc0.wav\tzero\nc1.wav\tone\ntwo\ttwo\nc0.wav\tzero\ntwo.mp3\ttwo\nc1.wav\tanother\n");
  EXPECT_EQ(summary.utterances, 3u);
  EXPECT_THAT(summary.subsets, ElementsAre(Pair("train", 3), Pair("validated", 1)));
  EXPECT_THAT(summary.notes, ElementsAre(Pair(HasSubstr("repeat"), 2)));
  ASSERT_EQ(summary.rejected.size(), 2u);
  EXPECT_THAT(summary.rejected[0].source, ::testing::EndsWith("train.tsv:7"));
  EXPECT_THAT(summary.rejected[0].reason, HasSubstr("train.tsv:3 with another text: \"one\" there, \"another\" here"));
  EXPECT_THAT(summary.rejected[1].source, ::testing::EndsWith("validated.tsv:2"));
  for (const char* manifest : {"out/manifest.jsonl", "out/train.jsonl", "out/validated.jsonl"})
    EXPECT_NO_THROW(read_manifest(folder / manifest)) << manifest;
}

TEST(CommonvoiceImporter, TablesThatCannotBeReadSayWhatTheyAre) {
  TemporaryFolder folder;
  for (const auto& [table, expected] : std::vector<std::pair<std::string, std::string>>{
           {std::string("\xFF\xFEp\0a\0", 6), "found UTF-16"},
           {"path,sentence\nc0.wav,zero\n", "found no tab in \"path,sentence\""},
           {"path\tsentence\tPATH\n", "expected every column once; found \"path\" twice"},
           {"", "found an empty file"}}) {
    write_file(folder / "cv/train.tsv", table);
    EXPECT_THAT(import_failure("commonvoice", folder / "cv", folder), HasSubstr(expected));
  }
}

TEST(CommonvoiceImporter, AClipIsFoundUnderAnotherSpellingOfItsLetters) {
  TemporaryFolder folder;
  write_file(folder / "cv/clips/caf\u00e9.wav", wav(8000));
  write_file(folder / "cv/train.tsv", "path\tsentence\ncafe\u0301.wav\tzero\n");
  EXPECT_EQ(import("commonvoice", folder / "cv", folder).utterances, 1u);
}

}  // namespace
}  // namespace rehearse
