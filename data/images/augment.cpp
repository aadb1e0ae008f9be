#include "data/images/augment.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "trainer/base/error.h"

namespace rehearse::images {
namespace {

void expect_record(const FaceLayout& layout, std::span<uint8_t> pixels, std::span<float> points) {
  REHEARSE_CHECK(pixels.size() == layout.num_pixels() && points.size() == 2 * layout.num_points(),
                 "callers hand over one whole record");
}

bool is_inside(float value, int side) {
  return value >= 0 && value <= static_cast<float>(side);
}

double between(double low, double high, double share) {
  return low + share * (high - low);
}

}  // namespace

FaceAugmentOptions FaceAugmentOptions::from(ConfigNode& node) {
  FaceAugmentOptions options;
  options.mirror_probability = node.number("mirror_probability", options.mirror_probability, {0, 1});
  options.max_shift_px = node.integer("max_shift_px", options.max_shift_px, {0, 1000});
  options.max_contrast = node.number("max_contrast", options.max_contrast, {0, 1});
  options.max_brightness = node.number("max_brightness", options.max_brightness, {0, 1});
  return options;
}

void mirror_face(const FaceLayout& layout, std::span<uint8_t> pixels, std::span<float> points) {
  expect_record(layout, pixels, points);
  const auto width = static_cast<std::ptrdiff_t>(layout.width);
  for (auto row = pixels.begin(); row != pixels.end(); row += width) std::reverse(row, row + width);
  for (size_t p = 0; p < layout.num_points(); ++p) points[2 * p] = static_cast<float>(layout.width) - points[2 * p];
  for (const auto& [one, other] : layout.flip_pairs)
    for (size_t axis = 0; axis < 2; ++axis) std::swap(points[2 * one + axis], points[2 * other + axis]);
}

void shift_face(const FaceLayout& layout, int right, int down, std::span<uint8_t> pixels, std::span<float> points) {
  expect_record(layout, pixels, points);
  if (right == 0 && down == 0) return;
  const std::vector<uint8_t> before(pixels.begin(), pixels.end());
  for (int y = 0; y < layout.height; ++y)
    for (int x = 0; x < layout.width; ++x) {
      const int from_x = std::clamp(x - right, 0, layout.width - 1),
                from_y = std::clamp(y - down, 0, layout.height - 1);
      pixels[static_cast<size_t>(y * layout.width + x)] = before[static_cast<size_t>(from_y * layout.width + from_x)];
    }
  for (size_t p = 0; p < layout.num_points(); ++p) {
    float &x = points[2 * p], &y = points[2 * p + 1];
    x += static_cast<float>(right);
    y += static_cast<float>(down);
    if (!is_inside(x, layout.width) || !is_inside(y, layout.height)) x = y = std::numeric_limits<float>::quiet_NaN();
  }
}

void relight(std::span<uint8_t> pixels, double contrast, double brightness) {
  for (uint8_t& value : pixels) {
    const double changed = (value - 127.5) * contrast + 127.5 + 255 * brightness;
    value = static_cast<uint8_t>(std::lround(std::clamp(changed, 0.0, 255.0)));
  }
}

void augment_face(const FaceLayout& layout, const FaceAugmentOptions& options, const RandomKey& key,
                  std::span<uint8_t> pixels, std::span<float> points) {
  expect_record(layout, pixels, points);
  enum Draw : uint64_t { kMirror, kRight, kDown, kContrast, kBrightness };
  if (key.uniform(kMirror) < options.mirror_probability) mirror_face(layout, pixels, points);
  const auto shift = [&](Draw draw) {
    const int64_t most = options.max_shift_px;
    return static_cast<int>(static_cast<int64_t>(key.below(static_cast<uint64_t>(2 * most + 1), draw)) - most);
  };
  shift_face(layout, shift(kRight), shift(kDown), pixels, points);
  const double contrast = between(1 - options.max_contrast, 1 + options.max_contrast, key.uniform(kContrast));
  relight(pixels, contrast, between(-options.max_brightness, options.max_brightness, key.uniform(kBrightness)));
}

}  // namespace rehearse::images
