// What is said about single points: of one picture in a file of answers, and of many for people.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/images/face_records.h"
#include "trainer/tasks/keypoints/point_errors.h"

namespace rehearse::keypoints {

// {name: [x, y] or null, …} in pixels, as an import of points reads it; points [P, 2].
nlohmann::json points_json(const images::FaceLayout& layout, std::span<const float> points);

// The other way: [P, 2], NaN where a point is null or absent.
std::vector<float> points_from(const images::FaceLayout& layout, const nlohmann::json& object);

// {"points": …, "true_points": …, "point_errors": {name: share of the inter-ocular distance, …}}; predicted [P, 2] as
// the network scales them.
nlohmann::json point_detail(const images::FaceLayout& layout, std::span<const float> predicted,
                            std::span<const float> points, const PointErrors& errors);

// Lines of a table: each point's mean error over these details, and how many pictures know it. Empty without any.
std::vector<std::string> point_table(const images::FaceLayout& layout,
                                     const std::vector<const nlohmann::json*>& details);

}  // namespace rehearse::keypoints
