#include "data/images/import/kaggle_csv.h"

#include <zlib.h>

#include <fstream>

#include "data/images/import/csv_fields.h"
#include "tests/data/images/images_support.h"
#include "tests/fuzz/mutation.h"

namespace rehearse::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::NanSensitiveFloatEq;
using ::testing::Pointwise;

const KaggleOptions kSmall{.width = 2, .height = 2, .domain = "kaggle"};
constexpr char kHeader[] = "left_eye_center_x,left_eye_center_y,nose_tip_x,nose_tip_y,Image\n";

FaceImport imported(const std::string& text, const KaggleOptions& options = kSmall) {
  const TemporaryFolder folder;
  std::ofstream(folder / "training.csv", std::ios::binary) << text;
  return import_kaggle_csv(folder / "training.csv", options);
}

std::string refusal(const std::string& text) {
  return failure_of<DataError>([&] { imported(text); });
}

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields = {"left", "over"};
  return split_csv(line, fields) ? fields : std::vector<std::string>{"refused"};
}

TEST(CsvFields, CommasQuotationMarksAndEmptyFields) {
  EXPECT_THAT(fields_of("a,b,c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(fields_of(""), ElementsAre(""));
  EXPECT_THAT(fields_of(",,"), ElementsAre("", "", ""));
  EXPECT_THAT(fields_of("\"a,b\",\"\",\"say \"\"x\"\"\""), ElementsAre("a,b", "", "say \"x\""));
  for (const char* line : {"\"a", "a\"b", "\"a\"b,c", "a,\"b\"\"", "\""})
    EXPECT_THAT(fields_of(line), ElementsAre("refused"));
}

TEST(KaggleCsv, RowsBecomeRecords) {
  const FaceImport result = imported(std::string(kHeader) + "1.5,0.25,1,2,0 17 128 255\n");
  ASSERT_EQ(result.records.size(), 1u);
  EXPECT_THAT(result.records.pixels, ElementsAre(0, 17, 128, 255));
  EXPECT_THAT(result.records.points, ElementsAre(1.5f, 0.25f, 1, 2));
  EXPECT_THAT(result.records.domains, ElementsAre("kaggle"));
  EXPECT_THAT(result.records.source, ElementsAre("training.csv:2"));
  EXPECT_THAT(result.records.layout.point_names, ElementsAre("left_eye_center", "nose_tip"));
  EXPECT_THAT(result.rejected, IsEmpty());
  expect_whole(result.records, "import");
}

TEST(KaggleCsv, EmptyCoordinatesAreMissingPoints) {
  const FaceImport result = imported(std::string(kHeader) + ",, 1 ,2e0,0 1 2 3");
  EXPECT_THAT(result.records.points, Pointwise(NanSensitiveFloatEq(), {kMissing, kMissing, 1.0f, 2.0f}));
}

TEST(KaggleCsv, ColumnsInAnyOrderQuotesCrlfAndABlankEnd) {
  const FaceImport result = imported(
      "Image,ImageId,nose_tip_y,\"left_eye_center_x\",nose_tip_x,left_eye_center_y\r\n"
      "\"0 1 2 3\",7,2,\"1.5\",1,0.25\r\n\r\n");
  ASSERT_EQ(result.records.size(), 1u);
  EXPECT_THAT(result.records.points, ElementsAre(1.5f, 0.25f, 1, 2));
  EXPECT_THAT(result.ignored, ElementsAre("ImageId"));
}

TEST(KaggleCsv, AllFifteenPointsAtTheirSize) {
  std::string header, row, image;
  for (const std::string& name : kaggle_point_names()) {
    header += name + "_x," + name + "_y,";
    row += "48.5,30,";
  }
  for (int i = 0; i < 96 * 96; ++i) image += concat(i > 0 ? " " : "", i % 256);
  const FaceImport result = imported(header + "Image\n" + row + image + "\n", {});
  ASSERT_EQ(result.records.size(), 1u);
  EXPECT_EQ(result.records.layout.point_names, kaggle_point_names());
  EXPECT_EQ(result.records.pixels[97], 97);
  EXPECT_THAT(result.records.domains, ElementsAre("faces"));
}

TEST(KaggleCsv, RowsThatCannotBeUsedAreListed) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"1,1,1,1,0 1 2", "expected 4 grey values; found 3"},
      {"1,1,1,1,0 1 2 3 4", "found more"},
      {"1,1,1,1,", "found 0"},
      {"1,1,1,1,0 1 2 256", "found \"256\""},
      {"1,1,1,1,0 1 2 -3", "found \"-3\""},
      {"1,1,1,1,0 1 2 3.5", "found \"3.5\""},
      {"1,1,1,1,0 1 2 x", "found \"x\""},
      {"1,1,1,0 1 2 3", "expected 5 fields; found 4"},
      {"1,1,1,1,0 1 2 3,", "expected 5 fields; found 6"},
      {"a,1,1,1,0 1 2 3", "left_eye_center_x: expected a number or nothing; found \"a\""},
      {"1,nan,1,1,0 1 2 3", "left_eye_center_y"},
      {"1,1,inf,1,0 1 2 3", "nose_tip_x"},
      {"1,1,1e99,1,0 1 2 3", "nose_tip_x"},
      {"1,,1,1,0 1 2 3", "left_eye_center: expected x and y"},
      {"1,1,1,700,0 1 2 3", "nose_tip: expected x and y at most one picture away"},
      {"1,1,1,1,\"0 1 2 3", "quotation marks"},
      {"2,2,2,2,9 9 9 9", "training.csv:2"},  // the good row's picture with other points
  };
  std::string text = std::string(kHeader) + "1,1,1,1,9 9 9 9\n";
  for (const auto& [row, reason] : rows) text += row + "\n";
  const FaceImport result = imported(text + "1,1,1,1,8 8 8 8\n");
  EXPECT_EQ(result.records.size(), 2u);
  ASSERT_EQ(result.rejected.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_THAT(result.rejected[i].reason, HasSubstr(rows[i].second)) << rows[i].first;
    EXPECT_THAT(result.rejected[i].source, HasSubstr(concat("training.csv:", i + 3)));
  }
}

TEST(KaggleCsv, WhatIsNoSuchTableIsRefused) {
  EXPECT_THAT(refusal(""), HasSubstr("found an empty file"));
  EXPECT_THAT(refusal("a_x,a_y\n"), HasSubstr("training.csv:1: expected a header with a column Image"));
  EXPECT_THAT(refusal("ImageId,Image\n1,0 1 2 3\n"), HasSubstr("a table without points"));
  EXPECT_THAT(refusal("a_x,Image\n"), HasSubstr("\"a\" with _x and _y"));
  EXPECT_THAT(refusal("a_y,Image\n"), HasSubstr("\"a\" with _x and _y"));
  EXPECT_THAT(refusal("a_x,a_y,a_x,Image\n"), HasSubstr("two of \"a_x\""));
  EXPECT_THAT(refusal("\"a_x,a_y,Image\n"), HasSubstr("stray quotation mark"));
  EXPECT_THAT(failure_of<DataError>([] { import_kaggle_csv("absent.csv", {}); }), HasSubstr("absent.csv"));
}

TEST(KaggleCsv, ACompressedTableIsRead) {
  const TemporaryFolder folder;
  const std::string text = std::string(kHeader) + "1,1,1,1,0 1 2 3\n";
  const gzFile file = gzopen((folder / "training.csv.gz").c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  EXPECT_EQ(import_kaggle_csv(folder / "training.csv.gz", kSmall).records.size(), 1u);
}

TEST(KaggleCsv, WhatIsLeftOutCanBeWrittenDown) {
  const TemporaryFolder folder;
  FileLayer files;
  write_rejected_pictures(files, folder / "none.jsonl", {});
  EXPECT_FALSE(fs::exists(folder / "none.jsonl"));
  write_rejected_pictures(files, folder / "rejected.jsonl", {{"a.csv:3", "expected \"4\""}, {"b\xff", "x"}});
  EXPECT_EQ(
      read_text(folder / "rejected.jsonl"),
      "{\"reason\":\"expected \\\"4\\\"\",\"source\":\"a.csv:3\"}\n{\"reason\":\"x\",\"source\":\"b\xEF\xBF\xBD\"}\n");
}

TEST(KaggleCsv, DamageIsAnErrorOrAnImport) {
  const std::string whole = std::string(kHeader) + "1,1,1,1,0 1 2 3\n,,1,2,\"4 5 6 7\"\r\n1.5,2,,,8 9 10 11\n";
  const RandomKey key(testing::fuzz_seed());
  for (uint64_t round = 0; round < 200; ++round)
    expect_error_or_whole([&] { return imported(testing::mutated(whole, key.with(round))); });
}

}  // namespace
}  // namespace rehearse::images
