#include "importer_support.h"

namespace rehearse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::import;
using ::testing::Pair;
using testing::TemporaryFolder;
using testing::wav;
using testing::write_file;

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

TEST(NemoImporter, EqualFileNamesInDifferentFoldersGetDifferentIdsAndRepetitionsAreMerged) {
  TemporaryFolder folder;
  write_file(folder / "src/x/1.wav", wav(8000));
  write_file(folder / "src/y/1.wav", wav(8000));
  const std::string x = R"({"audio_filepath": "x/1.wav", "text": "x"})";
  const std::string y = R"({"audio_filepath": "y/1.wav", "text": "y"})";
  write_file(folder / "src/m.json", x + "\n" + y + "\n" + x + "\n");
  const ImportSummary summary = import("nemo", folder / "src/m.json", folder);
  EXPECT_EQ(summary.utterances, 2u);
  EXPECT_THAT(summary.notes, ElementsAre(Pair(HasSubstr("repeat"), 1)));
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

// One line beside call.wav (2 s); the reason of its rejection, or "" when it was imported.
std::string reason_against(const std::string& line) {
  TemporaryFolder folder;
  write_file(folder / "call.wav", wav(16000));
  write_file(folder / "other.wav", wav(8000));
  write_file(folder / "m.json", R"({"audio_filepath": "other.wav", "text": "good"})"
                                "\n" +
                                    line + "\n");
  const ImportSummary summary = import("nemo", folder / "m.json", folder);
  return summary.rejected.empty() ? "" : summary.rejected[0].reason;
}

TEST(NemoImporter, NumbersWrittenAsTextAreReadAsNumbersAndSaid) {
  TemporaryFolder folder;
  write_file(folder / "call.wav", wav(16000));
  std::string lines;
  for (const char* offset : {"0.00", "0.5", "1", "1.5e0"})
    lines += concat(R"({"audio_filepath": "call.wav", "duration": "0.5", "offset": ")", offset, R"(", "text": "t)",
                    offset, "\"}\n");
  write_file(folder / "m.json", lines);
  const ImportSummary summary = import("nemo", folder / "m.json", folder);
  EXPECT_THAT(summary.notes, ElementsAre(Pair(HasSubstr("written as text"), 8)));
  const auto utterances = read_manifest(folder / "out/manifest.jsonl");
  ASSERT_EQ(utterances.size(), 4u);
  EXPECT_EQ(utterances[3].offset_s, 1.5);
  EXPECT_EQ(utterances[3].duration_s, 0.5);
}

TEST(NemoImporter, AnyOtherTypeIsListedWithItsField) {
  for (const char* field : {"duration", "offset", "channel"})
    for (const char* value : {"true", "[1]", "{}", R"("0.6 s")", R"("0,6")", R"("")", R"("nan")", R"("inf")",
                              R"("0x1")", "-1", R"("-0.5")", "9007199254740993", R"("1e400")"})
      EXPECT_THAT(reason_against(concat(R"({"audio_filepath": "call.wav", "text": "t", ")", field, "\": ", value, "}")),
                  ::testing::StartsWith(concat(field, ": expected ")))
          << value;
  for (const char* value : {"NaN", "1e400", "-Infinity"})
    EXPECT_THAT(reason_against(concat(R"({"audio_filepath": "call.wav", "text": "t", "offset": )", value, "}")),
                ::testing::StartsWith("offset: expected "))
        << value;
  for (const char* field : {"speaker", "lang", "license", "domain", "id"})
    for (const char* value : {"true", "[1]", "{}", "1.5", "123456789012345678901234567890"})
      EXPECT_THAT(reason_against(concat(R"({"audio_filepath": "call.wav", "text": "t", ")", field, "\": ", value, "}")),
                  ::testing::StartsWith(concat(field, ": expected a string or a whole number; found ")))
          << value;
  for (const char* value : {"7", "true", "null", "[\"t\"]"})
    EXPECT_THAT(reason_against(concat(R"({"audio_filepath": "call.wav", "text": )", value, "}")),
                ::testing::StartsWith(concat("text: expected a string; found ", value)));
  EXPECT_EQ(reason_against(R"({"audio_filepath": "call.wav", "text": "t", "offset": null, "speaker": null})"), "");
  EXPECT_EQ(reason_against(R"({"audio_filepath": "call.wav", "text": "t", "speaker": 18446744073709551615})"), "");
}

TEST(NemoImporter, ChannelsOfOneFileAreUtterancesOfTheirOwn) {
  TemporaryFolder folder;
  std::vector<int16_t> stereo;
  for (int i = 0; i < 16000; ++i) stereo.insert(stereo.end(), {static_cast<int16_t>(i % 50), 0});
  write_file(folder / "call.wav", testing::wav_int16(stereo, 16000, 2));
  const auto line = [](const char* channel) {
    return concat(R"({"audio_filepath": "call.wav", "text": "t)", channel, R"(", "channel": )", channel, "}\n");
  };
  write_file(folder / "m.json", line("0") + line("1") + line("2"));
  const ImportSummary summary = import("nemo", folder / "m.json", folder);
  ASSERT_EQ(summary.rejected.size(), 1u) << "there is no channel 2";
  const auto utterances = read_manifest(folder / "out/manifest.jsonl");
  ASSERT_EQ(utterances.size(), 2u);
  EXPECT_EQ(utterances[0].channel, 0);
  EXPECT_EQ(utterances[1].channel, 1);
  EXPECT_NE(utterances[0].id, utterances[1].id);
}

TEST(NemoImporter, PathsAreLookedForBesideTheManifestThenFromTheWorkingFolder) {
  TemporaryFolder folder;
  write_file(folder / "corpus/audio/a.wav", wav(8000));
  write_file(folder / "corpus/lists/audio/b.wav", wav(8000));
  write_file(folder / "corpus/lists/m.json", R"({"audio_filepath": "audio/a.wav", "text": "a"})"
                                             "\n"
                                             R"({"audio_filepath": "audio/b.wav", "text": "b"})"
                                             "\n"
                                             R"({"audio_filepath": "audio/c.wav", "text": "c"})"
                                             "\n");
  const fs::path before = fs::current_path();
  fs::current_path(folder / "corpus");
  const ImportSummary summary = import("nemo", "lists/m.json", folder);
  fs::current_path(before);
  EXPECT_EQ(summary.utterances, 2u);
  ASSERT_EQ(summary.rejected.size(), 1u);
  EXPECT_THAT(summary.rejected[0].reason, HasSubstr("relative to the manifest or to the working folder"));
  EXPECT_THAT(summary.rejected[0].reason, HasSubstr("neither \"lists/audio/c.wav\" nor \"audio/c.wav\""));
  for (const Utterance& utterance : read_manifest(folder / "out/manifest.jsonl"))
    EXPECT_TRUE(fs::exists(utterance.audio_path)) << utterance.audio_path;
}

TEST(NemoImporter, KnowsTheHomeFolderOtherSpellingsAndOtherNames) {
  TemporaryFolder folder;
  write_file(folder / "home/a.wav", wav(8000));
  write_file(folder / "caf\u00e9/\u00e9t\u00e9.wav", wav(8000));
  write_file(folder / "c.wav", wav(8000));
  write_file(folder / "m.json", R"({"audio_filepath": "~/a.wav", "text": "a"})"
                                "\n"
                                "{\"audio_filepath\": \"cafe\u0301/e\u0301te\u0301.wav\", \"text\": \"b\"}\n"
                                R"({"audio_filename": "c.wav", "text": "c"})"
                                "\n"
                                R"({"audio_filpath": "c.wav", "text": "c"})"
                                "\n");
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  setenv("HOME", (folder / "home").c_str(), 1);
  const ImportSummary summary = import("nemo", folder / "m.json", folder);
  setenv("HOME", home.c_str(), 1);
  EXPECT_EQ(summary.utterances, 3u);
  EXPECT_EQ(summary.notes.size(), 2u);
  ASSERT_EQ(summary.rejected.size(), 1u);
  EXPECT_THAT(summary.rejected[0].reason, HasSubstr("did you mean \"audio_filpath\"?"));
}

TEST(NemoImporter, TheSameLineInTwoManifestsIsOneUtteranceOfBoth) {
  TemporaryFolder folder;
  for (const char* name : {"a", "b"}) write_file(folder / concat("src/", name, ".wav"), wav(8000));
  const std::string a = R"({"audio_filepath": "a.wav", "text": "a"})",
                    b = R"({"audio_filepath": "b.wav", "text": "b"})";
  write_file(folder / "src/all.json", a + "\n" + b + "\n");
  write_file(folder / "src/dev.json", b + "\n");
  write_file(folder / "src/._dev.json", "\5\26\7");
  const ImportSummary summary = import("nemo", folder / "src", folder);
  EXPECT_EQ(summary.utterances, 2u);
  EXPECT_TRUE(summary.notes.empty()) << "a row of another table repeats nothing";
  EXPECT_THAT(summary.subsets, ElementsAre(Pair("all", 2), Pair("dev", 1)));
}

TEST(NemoImporter, OnePieceOfAudioUnderTwoDomainsIsListed) {
  TemporaryFolder folder;
  write_file(folder / "a.wav", wav(8000));
  write_file(folder / "m.json", R"({"audio_filepath": "a.wav", "text": "a", "domain": "phone"})"
                                "\n"
                                R"({"audio_filepath": "./a.wav", "text": "a", "domain": "studio", "duration": 1})"
                                "\n");
  const ImportSummary summary = import("nemo", folder / "m.json", folder);
  EXPECT_EQ(summary.utterances, 1u);
  EXPECT_THAT(summary.rejected.at(0).reason, HasSubstr("another domain: \"phone\" there, \"studio\" here"));
}

}  // namespace
}  // namespace rehearse
