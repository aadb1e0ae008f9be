#include "data/speech/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "audio_support.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::write_file;

constexpr const char* kGoodLine =
    R"({"audio_filepath": "call/17.opus", "text": "hi", "domain": "phone", "duration": 1.5})";

std::string failure_of(const std::string& content) {
  TemporaryFolder folder;
  write_file(folder / "m.jsonl", content);
  try {
    read_manifest(folder / "m.jsonl");
  } catch (const DataError& failure) {
    return failure.what();
  }
  return "no failure";
}

std::vector<Utterance> read_lines(const std::string& content) {
  TemporaryFolder folder;
  write_file(folder / "m.jsonl", content);
  return read_manifest(folder / "m.jsonl");
}

TEST(Manifest, ReadsEveryField) {
  TemporaryFolder folder;
  write_file(folder / "m.jsonl",
             R"({"audio_filepath": "a/x.flac", "text": "Привет", "domain": "d", "duration": 3, "offset": 0.5, )"
             R"("speaker": "s", "lang": "ru", "license": "CC0", "source": "web", "text_spoken": 7})");
  const auto utterances = read_manifest(folder / "m.jsonl");
  ASSERT_EQ(utterances.size(), 1u);
  EXPECT_EQ(utterances[0].audio_path, folder / "a/x.flac");
  EXPECT_EQ(utterances[0].text, "Привет");
  EXPECT_EQ(utterances[0].domain, "d");
  EXPECT_EQ(utterances[0].speaker, "s");
  EXPECT_EQ(utterances[0].lang, "ru");
  EXPECT_EQ(utterances[0].license, "CC0");
  EXPECT_EQ(utterances[0].duration_s, 3);
  EXPECT_EQ(utterances[0].offset_s, 0.5);
}

TEST(Manifest, AnEmptyFileHasNoUtterances) {
  EXPECT_TRUE(read_lines("").empty());
}

TEST(Manifest, EmptyLinesCarriageReturnsAndByteOrderMarkAreAllowed) {
  const auto utterances = read_lines("\xEF\xBB\xBF" + std::string(kGoodLine) + "\r\n\r\n  \n\n");
  ASSERT_EQ(utterances.size(), 1u);
  EXPECT_EQ(utterances[0].text, "hi");
}

TEST(Manifest, NullInAnOptionalFieldMeansUnknown) {
  const auto utterances =
      read_lines(R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1, "speaker": null, "id": null})");
  EXPECT_EQ(utterances.at(0).speaker, "");
}

TEST(Manifest, MessagesNameFileLineFieldAndSample) {
  const std::string bad = R"({"audio_filepath": "call/17.opus", "text": "", "domain": "d", "duration": -0.5})";
  EXPECT_THAT(failure_of(std::string(kGoodLine) + "\n\n" + bad),
              ::testing::EndsWith("m.jsonl:3: duration: expected > 0; found -0.5 (sample \"call/17.opus\")"));
}

TEST(Manifest, RefusesLinesThatAreNotAsAgreed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"text": "", "domain": "d", "duration": 1})", "audio_filepath: expected a string; found nothing"},
      {R"({"audio_filepath": "", "text": "", "domain": "d", "duration": 1})", "audio_filepath: expected a name"},
      {R"({"audio_filepath": "a\u0000b", "text": "", "domain": "d", "duration": 1})", "control characters"},
      {R"({"audio_filepath": "a", "domain": "d", "duration": 1})", "text: expected a string; found nothing"},
      {R"({"audio_filepath": "a", "text": 7, "domain": "d", "duration": 1})", "text: expected a string; found 7"},
      {R"({"audio_filepath": "a", "text": "", "duration": 1})", "domain: expected a string; found nothing"},
      {R"({"audio_filepath": "a", "text": "", "domain": "", "duration": 1})", "domain: expected a name"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d"})", "duration: expected seconds; found nothing"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": "1"})", "duration: expected seconds as"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1e300})", "duration: expected at most"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1e999})",
       "duration: expected a number that fits 64 bits"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": NaN})",
       "duration: expected one JSON object; found NaN"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1, "duration": 2})",
       "duration: expected once in a line; found twice"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1, "offset": -1})", "offset: expected >= 0"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1, "id": 7})", "id: expected a string"},
      {R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1, "id": ""})", "id: expected a name"},
      {"[1, 2]", "expected one JSON object; found [1,2]"},
      {"{\"audio_filepath\": ", "expected one JSON object"},
  };
  for (const auto& [line, expected] : cases) {
    const std::string message = failure_of(line);
    EXPECT_THAT(message, HasSubstr(expected)) << line;
    EXPECT_THAT(message, HasSubstr("m.jsonl:1: ")) << line;
  }
}

TEST(Manifest, InvalidUtf8InsideTextIsRefused) {
  EXPECT_THAT(failure_of("{\"audio_filepath\": \"a\", \"text\": \"\xC0\xAF\", \"domain\": \"d\", \"duration\": 1}"),
              HasSubstr("convert the file to UTF-8"));
}

TEST(Manifest, AMissingFileIsADataError) {
  EXPECT_THROW(read_manifest("/nonexistent/m.jsonl"), DataError);
  EXPECT_THROW(read_manifest("/"), DataError);
}

TEST(Manifest, TwoEqualStableIdsAskForAnIdUnlessTheyAreOnePieceOfAudio) {
  const std::string same = failure_of(std::string(kGoodLine) + "\n" + kGoodLine);
  EXPECT_THAT(same, HasSubstr("m.jsonl:2: id: "));
  EXPECT_THAT(same, HasSubstr("that of line 1"));
  EXPECT_THAT(same, HasSubstr("list it once"));
  const std::string other_folder =
      R"({"audio_filepath": "other/17.opus", "text": "hi", "domain": "phone", "duration": 1.5})";
  EXPECT_THAT(failure_of(std::string(kGoodLine) + "\n" + other_folder), HasSubstr("give both lines a different `id`"));
}

TEST(Manifest, AValueOfAnotherTypeIsNeverTakenForAbsent) {
  const std::string base = R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1, )";
  for (const char* field : {"speaker", "lang", "license", "source", "id"})
    for (const char* value : {"7", "true", "[1]", "{}", "1.5"})
      EXPECT_THAT(failure_of(base + "\"" + field + "\": " + value + "}"),
                  HasSubstr(concat("m.jsonl:1: ", field, ": expected a string; found ", value)));
  for (const char* field : {"offset", "channel"})
    for (const char* value : {"\"1\"", "true", "[1]", "{}", "\"0.6 s\"", "-1"})
      EXPECT_THAT(failure_of(base + "\"" + field + "\": " + value + "}"),
                  HasSubstr(concat("m.jsonl:1: ", field, ": expected ")))
          << value;
  for (const char* value : {"0.5", "1e6", "9007199254740993"})
    EXPECT_THAT(failure_of(base + "\"channel\": " + value + "}"), HasSubstr("channel: expected a channel")) << value;
  EXPECT_THAT(failure_of(base + "\"offset\": 9007199254740993}"), HasSubstr("offset: expected at most 1e+07"));
}

TEST(Manifest, NamesThatMoveTheCursorOrHideAreRefused) {
  const std::string base = R"({"audio_filepath": "a", "text": "", "duration": 1, )";
  for (const char* name : {"a\\u001b[2J", "a\\nb", "a\\u202eb", "a\\u200fb", "a\\u0085"}) {
    EXPECT_THAT(failure_of(base + "\"domain\": \"" + name + "\"}"), HasSubstr("domain: expected a name without"));
    for (const char* field : {"speaker", "lang", "license", "source", "id"})
      EXPECT_THAT(failure_of(base + "\"domain\": \"d\", \"" + field + "\": \"" + name + "\"}"),
                  HasSubstr(concat(field, ": expected a name without control characters")));
  }
  EXPECT_THAT(failure_of(base + "\"domain\": \"" + std::string(401, 'x') + "\"}"), HasSubstr("at most 400 bytes"));
}

TEST(Manifest, AllBadLinesAreCountedAndTheFirstTwentyListed) {
  std::string lines = std::string(kGoodLine) + "\n";
  for (int i = 0; i < 23; ++i) lines += "{}\n";
  const std::string message = failure_of(lines);
  EXPECT_THAT(message, HasSubstr("m.jsonl: expected 24 utterances; found 23 bad lines"));
  EXPECT_THAT(message, HasSubstr("m.jsonl:21: audio_filepath: expected"));
  EXPECT_THAT(message, ::testing::Not(HasSubstr("m.jsonl:22:")));
  EXPECT_THAT(message, HasSubstr("and 3 more"));
}

TEST(Manifest, OtherFilesAreRefusedByWhatTheyAre) {
  const std::string utf16("\xFF\xFE{\0\"\0", 6), bare16("{\0\"\0a\0u\0d\0i\0o\0", 14);
  EXPECT_THAT(failure_of(utf16), HasSubstr("expected UTF-8; found UTF-16"));
  EXPECT_THAT(failure_of(bare16), HasSubstr("iconv -f UTF-16LE"));
  EXPECT_THAT(failure_of("[" + std::string(kGoodLine) + "]"), HasSubstr("found a JSON array"));
  EXPECT_THAT(failure_of("[\n  " + std::string(kGoodLine) + "\n]"), HasSubstr("found a JSON array"));
  EXPECT_THAT(failure_of("{\n  \"audio_filepath\": \"a\"\n}"), HasSubstr("objects over several lines"));
  EXPECT_THAT(failure_of("PK\x03\x04xxxx"), HasSubstr("a zip archive; unpack it"));
}

TEST(Manifest, GzipIsReadAndADamagedOneRefused) {
  TemporaryFolder folder;
  write_file(folder / "m.jsonl", std::string(kGoodLine) + "\n");
  ASSERT_EQ(std::system(("gzip -k " + (folder / "m.jsonl")).c_str()), 0);
  EXPECT_EQ(read_manifest(folder / "m.jsonl.gz").at(0).id, read_manifest(folder / "m.jsonl").at(0).id);
  const std::string good = testing::read_file(folder / "m.jsonl.gz");
  for (const size_t cut : {size_t{12}, good.size() / 2, good.size() - 1}) {
    write_file(folder / "cut.gz", good.substr(0, cut));
    EXPECT_THROW(read_manifest(folder / "cut.gz"), DataError) << cut;
  }
  std::string flipped = good;
  flipped[good.size() - 6] = static_cast<char>(flipped[good.size() - 6] ^ 1);  // of the checksum
  write_file(folder / "bad.gz", flipped);
  EXPECT_THROW(read_manifest(folder / "bad.gz"), DataError);
}

TEST(Manifest, SeveralManifestsMayNotShareAnId) {
  auto utterances = read_lines(kGoodLine);
  EXPECT_NO_THROW(expect_unique_ids(utterances));
  utterances.push_back(utterances[0]);
  EXPECT_THROW(expect_unique_ids(utterances), DataError);
}

std::string failure_of_all(const std::vector<std::string>& manifests) {
  try {
    read_manifests(manifests);
  } catch (const DataError& failure) {
    return failure.what();
  }
  return "no failure";
}

TEST(Manifest, AManifestListedTwiceAndALineOfTwoManifestsAreNamed) {
  TemporaryFolder folder;
  write_file(folder / "a.jsonl", kGoodLine);
  write_file(folder / "b.jsonl", kGoodLine);
  testing::fs::create_symlink(folder / "a.jsonl", folder / "link.jsonl");
  EXPECT_THAT(failure_of_all({folder / "a.jsonl", folder / "a.jsonl"}), HasSubstr("listed twice; leave one out"));
  EXPECT_THAT(failure_of_all({folder / "a.jsonl", folder / "link.jsonl"}), HasSubstr("listed twice, also as "));
  const std::string both = failure_of_all({folder / "a.jsonl", folder / "b.jsonl"});
  EXPECT_THAT(both, HasSubstr("b.jsonl: id: expected"));
  EXPECT_THAT(both, HasSubstr("a.jsonl has; it is the same piece of audio: list it once"));
}

TEST(StableId, DependsOnDomainFileNameOffsetAndDurationOnly) {
  const auto id = [](const std::string& line) { return read_lines(line).at(0).id; };
  const auto base = id(R"({"audio_filepath": "x/a.wav", "text": "p", "domain": "d", "duration": 1})");
  EXPECT_EQ(base, id(R"({"audio_filepath": "y/a.wav", "text": "q", "domain": "d", "duration": 1.0, "offset": 0})"));
  EXPECT_NE(base, id(R"({"audio_filepath": "x/b.wav", "text": "p", "domain": "d", "duration": 1})"));
  EXPECT_NE(base, id(R"({"audio_filepath": "x/a.wav", "text": "p", "domain": "e", "duration": 1})"));
  EXPECT_NE(base, id(R"({"audio_filepath": "x/a.wav", "text": "p", "domain": "d", "duration": 1.001})"));
  EXPECT_NE(base, id(R"({"audio_filepath": "x/a.wav", "text": "p", "domain": "d", "duration": 1, "offset": 1})"));
}

TEST(StableId, TwoChannelsOfOneFileAreTwoUtterances) {
  const auto id = [](const std::string& line) { return read_lines(line).at(0).id; };
  const auto base = id(R"({"audio_filepath": "a.wav", "text": "", "domain": "d", "duration": 1, "channel": null})");
  const auto left = id(R"({"audio_filepath": "a.wav", "text": "", "domain": "d", "duration": 1, "channel": 0})");
  const auto right = id(R"({"audio_filepath": "a.wav", "text": "", "domain": "d", "duration": 1, "channel": 1})");
  EXPECT_EQ(base, stable_utterance_id("d", "a.wav", 0, 1));
  EXPECT_NE(left, base);
  EXPECT_NE(left, right);
}

TEST(StableId, AnExplicitIdReplacesFileOffsetAndDuration) {
  const auto id = [](const std::string& line) { return read_lines(line).at(0).id; };
  const auto base = id(R"({"audio_filepath": "a.wav", "text": "", "domain": "d", "duration": 1, "id": "k"})");
  EXPECT_EQ(base, id(R"({"audio_filepath": "b.wav", "text": "", "domain": "d", "duration": 2, "id": "k"})"));
  EXPECT_NE(base, id(R"({"audio_filepath": "a.wav", "text": "", "domain": "e", "duration": 1, "id": "k"})"));
  EXPECT_EQ(base, stable_utterance_id("d", "k", 0, 0));
}

TEST(StableId, IsTheSameOnEveryPlatformAndInEveryVersion) {
  EXPECT_EQ(stable_id_text(stable_utterance_id("phone", "17.opus", 0.25, 1.5)), "#7455f4ac79420d1a");
}

TEST(StableId, AnIdOfHashAndSixteenDigitsIsTheStableIdItself) {
  const auto utterances =
      read_lines(R"({"audio_filepath": "a", "text": "", "domain": "d", "duration": 1, "id": "#00000000000000ff"})");
  EXPECT_EQ(utterances.at(0).id, 255u);
  EXPECT_EQ(stable_id_text(255), "#00000000000000ff");
}

TEST(WriteManifest, IsReadBackWithTheSameFieldsAndIds) {
  TemporaryFolder folder;
  write_file(folder / "in.jsonl",
             std::string(kGoodLine) + "\n" +
                 R"({"audio_filepath": "b.wav", "text": "a \"b\" é\n", "domain": "d", "duration": 0.1, "offset": 0.3, )"
                 R"("id": "k", "speaker": "s", "lang": "l", "license": "c"})" +
                 "\n" +
                 R"({"audio_filepath": "b.wav", "text": "right", "domain": "d", "duration": 0.1, "channel": 1})");
  const auto before = read_manifest(folder / "in.jsonl");
  write_manifest(folder / "out.jsonl", before);
  const auto after = read_manifest(folder / "out.jsonl");
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].id, before[i].id);
    EXPECT_EQ(after[i].audio_path, before[i].audio_path);
    EXPECT_EQ(after[i].text, before[i].text);
    EXPECT_EQ(after[i].domain, before[i].domain);
    EXPECT_EQ(after[i].speaker, before[i].speaker);
    EXPECT_EQ(after[i].lang, before[i].lang);
    EXPECT_EQ(after[i].license, before[i].license);
    EXPECT_EQ(after[i].duration_s, before[i].duration_s);
    EXPECT_EQ(after[i].offset_s, before[i].offset_s);
    EXPECT_EQ(after[i].channel, before[i].channel);
  }
}

TEST(WriteManifest, PathsBelowItsFolderAreRelativeAndOthersAbsolute) {
  TemporaryFolder folder;
  Utterance below{.id = 1, .audio_path = folder / "sub/a.wav", .domain = "d", .duration_s = 1};
  Utterance outside{.id = 2, .audio_path = "/elsewhere/b.wav", .domain = "d", .duration_s = 1};
  write_manifest(folder / "m.jsonl", {below, outside});
  const std::string text = testing::read_file(folder / "m.jsonl");
  EXPECT_THAT(text, HasSubstr("\"audio_filepath\":\"sub/a.wav\""));
  EXPECT_THAT(text, HasSubstr("\"audio_filepath\":\"/elsewhere/b.wav\""));
}

}  // namespace
}  // namespace rehearse
