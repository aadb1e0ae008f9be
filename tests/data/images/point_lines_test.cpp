#include "data/images/import/point_lines.h"

#include <fstream>

#include "data/images/picture.h"
#include "tests/data/images/images_support.h"
#include "tests/fuzz/mutation.h"

namespace rehearse::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::NanSensitiveFloatEq;
using ::testing::Pointwise;

class PointLines : public ::testing::Test {
 protected:
  PointLines() {
    write_png(files_, folder_ / "a.png", {4, 2, 1, {0, 10, 20, 30, 40, 50, 60, 70}});
    Picture red = Picture::blank(2, 2, 3, 0);
    for (size_t i = 0; i < 12; i += 3) red.values[i] = 255;
    write_png(files_, folder_ / "red.png", red);
    fs::create_directory(folder_ / "deep");
    files_.write(folder_ / "deep/b.pgm", encode_pgm({2, 2, 1, {1, 2, 3, 4}}));
    std::ofstream(folder_ / "broken.png") << "\x89PNG\r\n\x1a\n and so on";
  }

  FaceImport imported(const std::string& text, PointLinesOptions options = {.width = 2, .height = 2}) {
    std::ofstream(folder_ / "points.jsonl", std::ios::binary) << text;
    return import_point_lines(folder_ / "points.jsonl", options);
  }
  std::string refusal(const std::string& text) {
    return failure_of<DataError>([&] { imported(text); });
  }

  FileLayer files_;
  TemporaryFolder folder_;
};

TEST_F(PointLines, PicturesAreScaledWithTheirPoints) {
  const FaceImport result =
      imported(R"({"image": "a.png", "points": {"left_eye_center": [3, 1.5], "nose_tip": null}})");
  ASSERT_EQ(result.records.size(), 1u);
  EXPECT_THAT(result.rejected, IsEmpty());
  EXPECT_THAT(result.records.pixels, ElementsAre(5, 25, 45, 65));
  EXPECT_THAT(result.records.points, Pointwise(NanSensitiveFloatEq(), {1.5f, 1.5f, kMissing, kMissing}));
  EXPECT_THAT(result.records.source, ElementsAre("a.png"));
  expect_whole(result.records, "import");
}

TEST_F(PointLines, ColourBecomesGreyAndDomainsAreKept) {
  const FaceImport result = imported(
      "{\"image\": \"red.png\", \"points\": {\"nose_tip\": [1, 1]}, \"domain\": \"red\"}\r\n\n"
      "{\"image\": \"deep/b.pgm\", \"points\": {\"chin\": [0, 2]}}\n");
  ASSERT_EQ(result.records.size(), 2u);
  EXPECT_THAT(result.records.domains, ElementsAre("faces", "red"));
  EXPECT_THAT(result.records.pixels, ElementsAre(1, 2, 3, 4, 76, 76, 76, 76));
  EXPECT_THAT(result.records.layout.point_names, ElementsAre("nose_tip", "chin"));
  EXPECT_THAT(result.records.points,
              Pointwise(NanSensitiveFloatEq(), {kMissing, kMissing, 0.0f, 2.0f, 1.0f, 1.0f, kMissing, kMissing}));
}

TEST_F(PointLines, LinesThatCannotBeUsedAreListed) {
  const std::vector<std::pair<std::string, std::string>> lines = {
      {R"({"image": "absent.png", "points": {"nose_tip": [1, 1]}})", "absent.png"},
      {R"({"image": "broken.png", "points": {"nose_tip": [1, 1]}})", "expected a whole PNG"},
      {R"({"image": "points.jsonl", "points": {"nose_tip": [1, 1]}})", "PNG or PGM"},
      {R"({"image": "deep", "points": {"nose_tip": [1, 1]}})", "deep"},
      {R"({"image": "red.png", "points": {"nose_tip": [1]}})", "nose_tip: expected [x, y] or null"},
      {R"({"image": "red.png", "points": {"nose_tip": ["1", 1]}})", "nose_tip"},
      {R"({"image": "red.png", "points": {"nose_tip": [1, 9]}})", "at most one picture away"},
      {R"({"image": "red.png", "points": [1, 1]})", "points"},
      {R"({"image": "red.png"})", "points"},
      {R"({"points": {"nose_tip": [1, 1]}})", "image"},
      {R"({"image": 7, "points": {"nose_tip": [1, 1]}})", "image"},
      {R"({"image": "red.png", "points": {"nose_tip": [1, 1]}, "domain": "a\nb"})", "domain"},
      {R"({"image": "red.png", "points": {"a\u0007": [1, 1]}})", "printable"},
      {"not JSON", ""},
      {"[1]", ""},
      {R"({"image": "a.png", "points": {"nose_tip": [1, 1]}})", "a.png"},  // a second time
  };
  std::string text = "{\"image\": \"a.png\", \"points\": {\"nose_tip\": [2, 1]}}\n";
  for (const auto& [line, reason] : lines) text += line + "\n";
  const FaceImport result = imported(text);
  EXPECT_EQ(result.records.size(), 1u);
  ASSERT_EQ(result.rejected.size(), lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_THAT(result.rejected[i].source, HasSubstr(concat("points.jsonl:", i + 2)));
    EXPECT_THAT(result.rejected[i].reason, HasSubstr(lines[i].second)) << lines[i].first;
    EXPECT_FALSE(result.rejected[i].reason.empty());
  }
}

TEST_F(PointLines, PointsThatWereNotAskedForAreListed) {
  const FaceImport result =
      imported(R"({"image": "a.png", "points": {"chin": [1, 1]}})"
               "\n"
               R"({"image": "red.png", "points": {"nose_tip": [1, 1]}})",
               {.width = 2, .height = 2, .domain = "x", .point_names = {"nose_tip", "left_eye_center"}});
  EXPECT_THAT(result.records.layout.point_names, ElementsAre("left_eye_center", "nose_tip"));
  EXPECT_EQ(result.records.size(), 1u);
  ASSERT_EQ(result.rejected.size(), 1u);
  EXPECT_THAT(result.rejected[0].reason, HasSubstr("one of the points that were asked for"));
}

TEST_F(PointLines, AFileWithoutPointsIsRefused) {
  EXPECT_THAT(refusal(""), HasSubstr("found no lines"));
  EXPECT_THAT(refusal("nonsense\n"), HasSubstr("points.jsonl:1"));
  EXPECT_THAT(failure_of<DataError>([] { import_point_lines("absent.jsonl", {}); }), HasSubstr("absent.jsonl"));
}

TEST_F(PointLines, DamageIsAnErrorOrAnImport) {
  const std::string whole =
      "{\"image\": \"a.png\", \"points\": {\"left_eye_center\": [3, 1.5], \"nose_tip\": null}}\n"
      "{\"image\": \"deep/b.pgm\", \"points\": {\"chin\": [0, 2]}, \"domain\": \"x\"}\n";
  const RandomKey key(testing::fuzz_seed());
  for (uint64_t round = 0; round < 200; ++round)
    expect_error_or_whole([&] { return imported(testing::mutated(whole, key.with(round))); });
}

}  // namespace
}  // namespace rehearse::images
