#include "data/images/picture.h"

#include <zlib.h>

#include "tests/data/images/images_support.h"
#include "tests/fuzz/mutation.h"

namespace rehearse::images {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string big_endian(uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
  return text;
}

std::string chunk(const std::string& type_and_data) {
  const auto* bytes = reinterpret_cast<const Bytef*>(type_and_data.data());
  const auto length = static_cast<uInt>(type_and_data.size());
  return big_endian(length - 4) + type_and_data + big_endian(static_cast<uint32_t>(crc32(0, bytes, length)));
}

// A PNG by its specification. rows: each with its filter byte 0. colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6
// RGBA.
std::string png(uint32_t width, uint32_t height, int depth, int colour, const std::string& rows,
                const std::string& chunks = "") {
  std::string packed(compressBound(rows.size()), '\0');
  uLongf length = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &length, reinterpret_cast<const Bytef*>(rows.data()), rows.size());
  packed.resize(length);
  const std::string header = big_endian(width) + big_endian(height) + static_cast<char>(depth) +
                             static_cast<char>(colour) + std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR" + header) + chunks + chunk("IDAT" + packed) + chunk("IEND");
}

Picture decoded(const std::string& bytes) {
  return decode_picture(bytes_of(bytes), "a.png");
}

std::string refusal(const std::string& bytes) {
  return failure_of<DataError>([&] { decoded(bytes); });
}

std::string text_of(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text += static_cast<char>(byte);
  return text;
}

TEST(Png, GreyColourPaletteAlphaAndSixteenBitsAreRead) {
  EXPECT_THAT(decoded(png(2, 2, 8, 0, text_of({0, 10, 20, 0, 30, 255}))).values, ElementsAre(10, 20, 30, 255));
  const Picture colour = decoded(png(2, 1, 8, 2, text_of({0, 1, 2, 3, 4, 5, 6})));
  EXPECT_EQ(colour.channels, 3);
  EXPECT_THAT(colour.values, ElementsAre(1, 2, 3, 4, 5, 6));
  const std::string palette = chunk("PLTE" + text_of({255, 0, 0, 0, 0, 255}));
  EXPECT_THAT(decoded(png(2, 1, 8, 3, text_of({0, 1, 0}), palette)).values, ElementsAre(0, 0, 255, 255, 0, 0));
  EXPECT_THAT(decoded(png(8, 1, 1, 0, text_of({0, 0xA0}))).values, ElementsAre(255, 0, 255, 0, 0, 0, 0, 0));
  EXPECT_THAT(decoded(png(3, 1, 16, 0, text_of({0, 0, 0, 0x80, 0x80, 0xFF, 0xFF}))).values, ElementsAre(0, 128, 255));
}

TEST(Png, WhatIsTransparentLiesOnWhite) {
  EXPECT_THAT(decoded(png(3, 1, 8, 4, text_of({0, 100, 255, 100, 0, 0, 51}))).values, ElementsAre(100, 255, 204));
  EXPECT_THAT(decoded(png(1, 1, 8, 6, text_of({0, 10, 20, 30, 0}))).values, ElementsAre(255, 255, 255));
}

TEST(Png, WhatIsWrittenIsReadBack) {
  for (const int channels : {1, 3}) {
    Picture picture = Picture::blank(7, 5, channels, 0);
    for (size_t i = 0; i < picture.values.size(); ++i) picture.values[i] = static_cast<uint8_t>(31 * i);
    const Picture again = decode_picture(encode_png(picture), "again");
    EXPECT_EQ(again.values, picture.values);
    EXPECT_EQ(again.width, 7);
    EXPECT_EQ(again.channels, channels);
  }
}

TEST(Png, AFileOnDiskIsReadAndNamed) {
  const TemporaryFolder folder;
  FileLayer files;
  write_png(files, folder / "a.png", Picture::blank(3, 2, 1, 77));
  EXPECT_THAT(read_picture(folder / "a.png").values, Each(77));
  EXPECT_THAT(failure_of<DataError>([&] { read_picture(folder / "b.png"); }), HasSubstr("b.png"));
}

TEST(Png, BrokenFilesAreRefused) {
  const std::string good = png(2, 2, 8, 0, text_of({0, 10, 20, 0, 30, 255}));
  EXPECT_THAT(refusal(""), HasSubstr("a.png: expected a picture as PNG or PGM; found an empty file"));
  EXPECT_THAT(refusal("\xFF\xD8\xFF jpeg"), HasSubstr("found another file"));
  for (size_t length = 8; length < good.size() - 12; ++length)
    EXPECT_THAT(refusal(good.substr(0, length)), HasSubstr("expected a whole PNG")) << length;
  EXPECT_THAT(refusal(png(2, 3, 8, 0, text_of({0, 10, 20, 0, 30, 255}))), HasSubstr("expected a whole PNG"));
  EXPECT_THAT(refusal(png(900'000, 900'000, 8, 0, text_of({0, 1}))), HasSubstr("900000 x 900000"));
}

TEST(Pgm, TextAndBytesAreRead) {
  EXPECT_THAT(decoded("P2\n# by hand\n3 1 # wide\n255\n0 17\t255").values, ElementsAre(0, 17, 255));
  EXPECT_THAT(decoded("P2 2 1 15 0 15\n").values, ElementsAre(0, 255));
  EXPECT_THAT(decoded("P5 2 2 255\n\x01\x02#\x04").values, ElementsAre(1, 2, '#', 4));
  EXPECT_THAT(decoded("P5\n2 1\n65535\n" + text_of({0xFF, 0xFF, 0x80, 0x80})).values, ElementsAre(255, 128));
  Picture picture = Picture::blank(2, 2, 1, 9);
  EXPECT_EQ(decode_picture(encode_pgm(picture), "x").values, picture.values);
}

TEST(Pgm, BrokenFilesAreRefused) {
  EXPECT_THAT(refusal("P2"), HasSubstr("width: expected a number"));
  EXPECT_THAT(refusal("P2 # no end"), HasSubstr("found the end"));
  EXPECT_THAT(refusal("P2 2 x"), HasSubstr("height"));
  EXPECT_THAT(refusal("P2 0 2 255 "), HasSubstr("found 0 x 2"));
  EXPECT_THAT(refusal("P5 99999 99999 255\n"), HasSubstr("99999 x 99999"));
  EXPECT_THAT(refusal("P5 9999 999 255\n abc"), HasSubstr("found a file of"));
  EXPECT_THAT(refusal("P5 999999999999999999999 1 255\n"), HasSubstr("width"));
  EXPECT_THAT(refusal("P2 2 1 0 0 0"), HasSubstr("maximum"));
  EXPECT_THAT(refusal("P2 2 1 70000 0 0"), HasSubstr("maximum"));
  EXPECT_THAT(refusal("P2 2 1 255 1"), HasSubstr("pixel: expected a number up to 255; found the end"));
  EXPECT_THAT(refusal("P2 2 1 9 1 10"), HasSubstr("pixel"));
  EXPECT_THAT(refusal("P2 2 1 9 1 -1"), HasSubstr("pixel"));
  EXPECT_THAT(refusal("P5 3 2 255\nabcde"), HasSubstr("expected 6 bytes of pixels; found 5"));
  EXPECT_THAT(refusal("P5 2 1 255"), HasSubstr("white space"));
  EXPECT_THAT(refusal("P5 2 1 9\n\x01\x0A"), HasSubstr("at most 9"));
  EXPECT_THAT(refusal("P6 1 1 255\nabc"), HasSubstr("found another file"));
}

TEST(Pictures, DamageIsAnErrorOrAPicture) {
  const std::vector<std::string> wholes = {
      png(4, 3, 8, 2, std::string("\0abcdefghijkl", 13) + std::string(26, '\0')),
      png(3, 1, 16, 6, std::string(25, '\0')),
      png(2, 1, 8, 3, text_of({0, 1, 0}), chunk("PLTE" + text_of({255, 0, 0, 0, 0, 255}))),
      "P2\n# by hand\n3 1\n255\n0 17 255", "P5 2 2 255\nabcd"};
  const RandomKey key(testing::fuzz_seed());
  for (uint64_t round = 0; round < 3000; ++round) {
    const std::string damaged = testing::mutated(wholes[round % wholes.size()], key.with(round));
    failure_of<DataError>([&] {
      const Picture picture = decoded(damaged);
      EXPECT_EQ(picture.values.size(), static_cast<size_t>(picture.width * picture.height * picture.channels));
    });
  }
}

TEST(Pictures, GreyIsTheLumaOfRec601) {
  const Picture colour{4, 1, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}};
  EXPECT_THAT(grey_of(colour).values, ElementsAre(76, 150, 29, 255));
  EXPECT_THAT(colour_of(grey_of(colour)).values, ElementsAre(76, 76, 76, 150, 150, 150, 29, 29, 29, 255, 255, 255));
}

TEST(Pictures, ShrinkingTakesMeansOverAreas) {
  const Picture picture{4, 2, 1, {10, 20, 30, 40, 50, 60, 70, 80}};
  EXPECT_THAT(resized(picture, 2, 1).values, ElementsAre(35, 55));
  const Picture three{3, 1, 1, {0, 90, 180}};
  EXPECT_THAT(resized(three, 2, 1).values, ElementsAre(30, 150));  // 1.5 pixels each
  EXPECT_THAT(resized(picture, 1, 1).values, ElementsAre(45));
}

TEST(Pictures, GrowingIsBilinearAndKeepsWhatIsConstant) {
  const Picture two{2, 1, 1, {0, 100}};
  EXPECT_THAT(resized(two, 4, 1).values, ElementsAre(0, 25, 75, 100));
  for (const int side : {1, 3, 5, 64}) EXPECT_THAT(resized(Picture::blank(5, 7, 3, 99), side, side).values, Each(99));
  EXPECT_EQ(resized(two, 2, 1).values, two.values);
}

TEST(Pictures, MarksAreCutOffAtTheEdge) {
  Picture picture = Picture::blank(9, 9, 3, 0);
  draw_cross(picture, 4.5, 4.5, 2, {255, 0, 0});
  EXPECT_EQ(picture.at(4, 4, 0), 255);
  EXPECT_EQ(picture.at(6, 4, 0), 128);
  EXPECT_EQ(picture.at(5, 5, 0), 0);
  EXPECT_EQ(picture.at(4, 4, 1), 0);
  draw_dot(picture, 0, 9, 2, {0, 255, 0});
  EXPECT_EQ(picture.at(0, 8, 1), 255);
  for (const double far : {-1e9, 1e9, static_cast<double>(kMissing), static_cast<double>(INFINITY)}) {
    draw_dot(picture, far, 4, 3, {9, 9, 9});
    draw_cross(picture, 4, far, 3, {9, 9, 9});
  }
  Picture sheet = Picture::blank(4, 4, 3, 7);
  paste(sheet, picture, 2, -3);
  EXPECT_EQ(sheet.at(1, 0, 0), 7);
  EXPECT_EQ(sheet.at(2, 0, 0), picture.at(0, 3, 0));
  EXPECT_EQ(enlarged(sheet, 3).at(8, 2, 0), sheet.at(2, 0, 0));
}

}  // namespace
}  // namespace rehearse::images
