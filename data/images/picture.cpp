#include "data/images/picture.h"

#include <algorithm>
#include <cmath>

#include "trainer/base/error.h"

namespace rehearse::images {
namespace {

constexpr uint64_t kMostPixels = 64u << 20;

uint8_t luma(unsigned red, unsigned green, unsigned blue) {
  return static_cast<uint8_t>((299 * red + 587 * green + 114 * blue + 500) / 1000);
}

uint8_t mixed(uint8_t under, uint8_t over, double share) {
  return static_cast<uint8_t>(std::lround(under + share * (over - under)));
}

void blend(Picture& picture, int x, int y, const Colour& colour, double share) {
  if (x < 0 || y < 0 || x >= picture.width || y >= picture.height || share <= 0) return;
  const uint8_t grey = luma(colour[0], colour[1], colour[2]);
  for (int c = 0; c < picture.channels; ++c) {
    uint8_t& value = picture.at(x, y, c);
    value = mixed(value, picture.channels == 1 ? grey : colour[static_cast<size_t>(c)], std::min(share, 1.0));
  }
}

// Calls cover(x, y of a pixel's centre) -> share for the pixels around a mark.
template <class Cover>
void draw_around(Picture& picture, double x, double y, double radius, const Colour& colour, const Cover& cover) {
  if (!std::isfinite(x) || !std::isfinite(y)) return;  // a missing point has no place
  const auto clipped = [](double value, int side) { return static_cast<int>(std::clamp(value, -1.0, side + 1.0)); };
  const double reach = radius + 2;
  for (int row = clipped(y - reach, picture.height); row <= clipped(y + reach, picture.height); ++row)
    for (int column = clipped(x - reach, picture.width); column <= clipped(x + reach, picture.width); ++column)
      blend(picture, column, row, colour, cover(column + 0.5 - x, row + 0.5 - y));
}

// One output sample as a weighted sum of inputs.
struct Taps {
  int first = 0;
  std::vector<double> weights;
};

Taps area_taps(double low, double high, int size) {
  Taps taps{std::clamp(static_cast<int>(low), 0, size - 1), {}};
  for (int i = taps.first; i < size && i < high; ++i)
    taps.weights.push_back(std::max(0.0, std::min(high, i + 1.0) - std::max(low, static_cast<double>(i))) /
                           (high - low));
  return taps;
}

Taps linear_taps(double centre, int size) {
  const double place = std::clamp(centre - 0.5, 0.0, size - 1.0);
  const int first = std::min(static_cast<int>(place), std::max(size - 2, 0));
  if (size == 1) return {0, {1.0}};
  return {first, {1.0 - (place - first), place - first}};
}

std::vector<Taps> taps_for(int from, int to) {
  std::vector<Taps> taps;
  const double step = static_cast<double>(from) / to;
  for (int i = 0; i < to; ++i)
    taps.push_back(step > 1 ? area_taps(i * step, (i + 1) * step, from) : linear_taps((i + 0.5) * step, from));
  return taps;
}

}  // namespace

Picture Picture::blank(int width, int height, int channels, uint8_t value) {
  const size_t count = static_cast<size_t>(width) * static_cast<size_t>(height) * static_cast<size_t>(channels);
  return {width, height, channels, std::vector<uint8_t>(count, value)};
}

void expect_picture_size(uint64_t width, uint64_t height, const std::string& where) {
  if (width == 0 || height == 0 || width > kMostPixels || height > kMostPixels || width * height > kMostPixels)
    throw DataError(where, ": expected a picture of 1 to ", kMostPixels, " pixels; found ", width, " x ", height);
}

Picture decode_picture(std::span<const std::byte> bytes, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\x89PNG")) return decode_png(bytes, where);
  if (text.starts_with("P2") || text.starts_with("P5")) return decode_pgm(bytes, where);
  throw DataError(where, ": expected a picture as PNG or PGM; found ", bytes.empty() ? "an empty file" : "another file",
                  "; convert it first");
}

Picture read_picture(const fs::path& path) {
  return decode_picture(read_bytes(path), path.string());
}

void write_png(FileLayer& files, const fs::path& path, const Picture& picture) {
  files.write(path, encode_png(picture));
}

Picture grey_of(const Picture& picture) {
  if (picture.channels == 1) return picture;
  Picture grey = Picture::blank(picture.width, picture.height, 1, 0);
  for (size_t i = 0; i < grey.values.size(); ++i)
    grey.values[i] = luma(picture.values[3 * i], picture.values[3 * i + 1], picture.values[3 * i + 2]);
  return grey;
}

Picture colour_of(const Picture& picture) {
  if (picture.channels == 3) return picture;
  Picture colour = Picture::blank(picture.width, picture.height, 3, 0);
  for (size_t i = 0; i < colour.values.size(); ++i) colour.values[i] = picture.values[i / 3];
  return colour;
}

Picture resized(const Picture& picture, int width, int height) {
  if (picture.width == width && picture.height == height) return picture;
  const std::vector<Taps> across = taps_for(picture.width, width), down = taps_for(picture.height, height);
  const auto row_values = static_cast<size_t>(width * picture.channels);
  std::vector<double> rows(static_cast<size_t>(picture.height) * row_values);  // [old H, new W, C]
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < picture.channels; ++c) {
        const Taps& taps = across[static_cast<size_t>(x)];
        double& sum = rows[static_cast<size_t>(y) * row_values + static_cast<size_t>(x * picture.channels + c)];
        for (size_t t = 0; t < taps.weights.size(); ++t)
          sum += taps.weights[t] * picture.at(taps.first + static_cast<int>(t), y, c);
      }
  Picture result = Picture::blank(width, height, picture.channels, 0);
  for (int y = 0; y < height; ++y)
    for (size_t i = 0; i < row_values; ++i) {
      const Taps& taps = down[static_cast<size_t>(y)];
      double sum = 0;
      for (size_t t = 0; t < taps.weights.size(); ++t)
        sum += taps.weights[t] * rows[(static_cast<size_t>(taps.first) + t) * row_values + i];
      result.values[static_cast<size_t>(y) * row_values + i] =
          static_cast<uint8_t>(std::clamp(std::lround(sum), 0l, 255l));
    }
  return result;
}

Picture enlarged(const Picture& picture, int factor) {
  Picture result = Picture::blank(picture.width * factor, picture.height * factor, picture.channels, 0);
  for (int y = 0; y < result.height; ++y)
    for (int x = 0; x < result.width; ++x)
      for (int c = 0; c < result.channels; ++c) result.at(x, y, c) = picture.at(x / factor, y / factor, c);
  return result;
}

void draw_dot(Picture& picture, double x, double y, double radius, const Colour& colour) {
  draw_around(picture, x, y, radius, colour, [&](double dx, double dy) { return radius + 0.5 - std::hypot(dx, dy); });
}

void draw_cross(Picture& picture, double x, double y, double radius, const Colour& colour) {
  draw_around(picture, x, y, radius, colour, [&](double dx, double dy) {
    const double across = std::abs(dx), down = std::abs(dy);
    return std::min(1.0 - std::min(across, down), radius + 0.5 - std::max(across, down));
  });
}

void paste(Picture& sheet, const Picture& tile, int x, int y) {
  REHEARSE_CHECK(sheet.channels == tile.channels, "a sheet is as coloured as its tiles");
  for (int row = std::max(0, -y); row < tile.height && y + row < sheet.height; ++row)
    for (int column = std::max(0, -x); column < tile.width && x + column < sheet.width; ++column)
      for (int c = 0; c < tile.channels; ++c) sheet.at(x + column, y + row, c) = tile.at(column, row, c);
}

}  // namespace rehearse::images
