#include "data/images/scaling.h"

#include <cmath>

#include "trainer/base/error.h"

namespace rehearse::images {
namespace {

void expect_points(const FaceLayout& layout, size_t one, size_t other) {
  REHEARSE_CHECK(one == 2 * layout.num_points() && other == one, "callers hand over x and y of every point");
}

float half_side(const FaceLayout& layout, size_t axis) {
  return 0.5f * static_cast<float>(axis == 0 ? layout.width : layout.height);
}

}  // namespace

void scale_pixels(std::span<const uint8_t> pixels, std::span<float> scaled) {
  REHEARSE_CHECK(pixels.size() == scaled.size(), "callers hand over room for every pixel");
  for (size_t i = 0; i < pixels.size(); ++i) scaled[i] = static_cast<float>(pixels[i]) / 255.0f;
}

void scale_points(const FaceLayout& layout, std::span<const float> points, std::span<float> targets,
                  std::span<float> weights) {
  expect_points(layout, points.size(), targets.size());
  REHEARSE_CHECK(weights.size() == layout.num_points(), "callers hand over room for every weight");
  for (size_t p = 0; p < weights.size(); ++p) {
    const bool is_there = !std::isnan(points[2 * p]);
    weights[p] = is_there ? 1.0f : 0.0f;
    for (size_t axis = 0; axis < 2; ++axis) {
      const float half = half_side(layout, axis);
      targets[2 * p + axis] = is_there ? (points[2 * p + axis] - half) / half : 0.0f;
    }
  }
}

void unscale_points(const FaceLayout& layout, std::span<const float> predicted, std::span<float> points) {
  expect_points(layout, predicted.size(), points.size());
  for (size_t i = 0; i < points.size(); ++i) points[i] = (predicted[i] + 1.0f) * half_side(layout, i % 2);
}

}  // namespace rehearse::images
