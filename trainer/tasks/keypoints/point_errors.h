// How far predicted points lie from the true ones.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "data/images/face_records.h"

namespace rehearse::keypoints {

// In place of the distance between the eyes where that is unknown, of the picture's width: 36 of 96 pixels, as in
// pictures that a face fills.
constexpr double kUsualEyeShare = 0.375;
constexpr double kFewestEyeShare = 0.05;  // eyes closer together than this tell nothing of the face's size

// Between left_eye_center and right_eye_center; points [P, 2] in pixels, NaN: missing.
double eye_distance_px(const images::FaceLayout& layout, std::span<const float> points);

// One picture's; distances are over its inter-ocular distance.
struct PointErrors {
  std::vector<double> distances;  // [P]; NaN: the point is missing
  double error = 1;               // their mean, at most 1; 1 without a known point or a finite prediction
  double squares = 0;             // of known coordinates, in the network's scaling
  size_t num_known = 0;           // points
  size_t num_within_5 = 0;        // per cent
  size_t num_within_10 = 0;
  bool is_finite = true;  // the prediction
};

// predicted [P, 2] as the network scales them, -1 to 1; points [P, 2] in pixels.
PointErrors point_errors(const images::FaceLayout& layout, std::span<const float> predicted,
                         std::span<const float> points, double eye_distance_px);

}  // namespace rehearse::keypoints
