// Pictures in memory and as PNG and PGM files. The only file that wraps libpng (picture_png.cpp).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trainer/base/files.h"

namespace rehearse::images {

struct Picture {
  int width = 0;
  int height = 0;
  int channels = 1;             // 1: grey, 3: red, green, blue
  std::vector<uint8_t> values;  // [H, W, C]

  static Picture blank(int width, int height, int channels, uint8_t value);
  uint8_t& at(int x, int y, int channel = 0) { return values[index(x, y, channel)]; }
  uint8_t at(int x, int y, int channel = 0) const { return values[index(x, y, channel)]; }

 private:
  size_t index(int x, int y, int channel) const {
    return (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)) *
               static_cast<size_t>(channels) +
           static_cast<size_t>(channel);
  }
};

// PNG of any depth and colour (16 bits become 8; what is transparent lies on white), PGM in text (P2) or bytes (P5), of
// at most 64 Mi pixels. DataError "where: …" for anything else.
Picture decode_picture(std::span<const std::byte> bytes, const std::string& where);
Picture read_picture(const fs::path& path);

std::vector<std::byte> encode_png(const Picture& picture);
std::vector<std::byte> encode_pgm(const Picture& grey);  // P5
void write_png(FileLayer& files, const fs::path& path, const Picture& picture);

// Grey by the luma of Rec. 601; a grey picture stays.
Picture grey_of(const Picture& picture);
Picture colour_of(const Picture& picture);
// Another size: where it shrinks, means over areas; where it grows, bilinear. Edges of old and new lie on each other.
Picture resized(const Picture& picture, int width, int height);
// Whole pixels, each factor times as wide and high.
Picture enlarged(const Picture& picture, int factor);

// Drawing; what lies outside is cut off. x and y in pixels from the upper left corner, pixel n covers [n, n + 1).
using Colour = std::array<uint8_t, 3>;  // a grey picture takes the luma
void draw_dot(Picture& picture, double x, double y, double radius, const Colour& colour);
void draw_cross(Picture& picture, double x, double y, double radius, const Colour& colour);
void paste(Picture& sheet, const Picture& tile, int x, int y);  // equal numbers of channels

// The formats, each by itself.
Picture decode_png(std::span<const std::byte> bytes, const std::string& where);
Picture decode_pgm(std::span<const std::byte> bytes, const std::string& where);
// DataError when a header promises more than we read.
void expect_picture_size(uint64_t width, uint64_t height, const std::string& where);

}  // namespace rehearse::images
