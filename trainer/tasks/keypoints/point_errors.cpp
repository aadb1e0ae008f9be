#include "trainer/tasks/keypoints/point_errors.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/images/scaling.h"

namespace rehearse::keypoints {
namespace {

// Of the first point of this name; missing where there is none.
std::span<const float> point_named(const images::FaceLayout& layout, std::span<const float> points, const char* name) {
  static constexpr float kMissing[] = {std::numeric_limits<float>::quiet_NaN(),
                                       std::numeric_limits<float>::quiet_NaN()};
  const auto found = std::find(layout.point_names.begin(), layout.point_names.end(), name);
  if (found == layout.point_names.end()) return kMissing;
  return points.subspan(2 * static_cast<size_t>(found - layout.point_names.begin()), 2);
}

double distance_of(std::span<const float> one, std::span<const float> other) {
  return std::hypot(static_cast<double>(one[0]) - other[0], static_cast<double>(one[1]) - other[1]);
}

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace

double eye_distance_px(const images::FaceLayout& layout, std::span<const float> points) {
  const double distance =
      distance_of(point_named(layout, points, "left_eye_center"), point_named(layout, points, "right_eye_center"));
  // False for NaN, too.
  return distance >= kFewestEyeShare * layout.width ? distance : kUsualEyeShare * layout.width;
}

PointErrors point_errors(const images::FaceLayout& layout, std::span<const float> predicted,
                         std::span<const float> points, double eye_distance_px) {
  const size_t num_points = layout.num_points();
  std::vector<float> targets(2 * num_points), weights(num_points), pixels(2 * num_points);
  images::scale_points(layout, points, targets, weights);
  images::unscale_points(layout, predicted, pixels);
  PointErrors errors;
  errors.distances.assign(num_points, std::numeric_limits<double>::quiet_NaN());
  errors.is_finite = all_finite(predicted);
  double sum = 0;
  for (size_t p = 0; p < num_points; ++p) {
    if (weights[p] == 0) continue;
    ++errors.num_known;
    for (size_t at = 2 * p; at < 2 * p + 2; ++at) {
      const double difference = static_cast<double>(predicted[at]) - targets[at];
      errors.squares += difference * difference;
    }
    const double distance =
        distance_of(std::span(pixels).subspan(2 * p, 2), points.subspan(2 * p, 2)) / eye_distance_px;
    errors.distances[p] = distance;
    errors.num_within_5 += distance < 0.05;
    errors.num_within_10 += distance < 0.10;
    sum += distance;
  }
  if (errors.num_known > 0 && errors.is_finite)
    errors.error = std::min(1.0, sum / static_cast<double>(errors.num_known));
  return errors;
}

}  // namespace rehearse::keypoints
