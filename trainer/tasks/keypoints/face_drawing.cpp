#include "trainer/tasks/keypoints/face_drawing.h"

#include <algorithm>
#include <cmath>

namespace rehearse::keypoints {
namespace {

constexpr images::Colour kPredicted = {235, 50, 50};
constexpr images::Colour kTrue = {60, 220, 90};
constexpr images::Colour kEdge = {20, 20, 20};  // around a dot, so that it is seen on skin
constexpr int kDrawnWidth = 400;

}  // namespace

images::Picture drawn_points(const images::Picture& grey, int factor, std::span<const float> predicted,
                             std::span<const float> points) {
  images::Picture picture = images::colour_of(images::enlarged(grey, factor));
  const double radius = std::max(2.0, picture.width / 160.0);
  const auto for_each = [&](std::span<const float> all, const auto& draw) {
    for (size_t at = 0; at + 1 < all.size(); at += 2)
      if (std::isfinite(all[at]) && std::isfinite(all[at + 1])) draw(factor * all[at], factor * all[at + 1]);
  };
  for_each(points, [&](double x, double y) { images::draw_cross(picture, x, y, 2 * radius, kTrue); });
  for_each(predicted, [&](double x, double y) {
    images::draw_dot(picture, x, y, radius + 1, kEdge);
    images::draw_dot(picture, x, y, radius, kPredicted);
  });
  return picture;
}

int drawing_factor(int width) {
  return std::max(1, (kDrawnWidth + width / 2) / std::max(width, 1));
}

}  // namespace rehearse::keypoints
