// What is said about single points: of one picture in a file of answers, and of many for people.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/images/face_records.h"
#include "trainer/tasks/keypoints/point_errors.h"
#include "trainer/tasks/task.h"

namespace rehearse::keypoints {

// {name: [x, y] or null, …} in pixels, as an import of points reads it; points [P, 2].
nlohmann::json points_json(const images::FaceLayout& layout, std::span<const float> points);

// The other way: [P, 2], NaN where a point is null or absent.
std::vector<float> points_from(const images::FaceLayout& layout, const nlohmann::json& object);

// {"points": …, "true_points": …, "point_errors": {name: share of the inter-ocular distance, …}}; predicted [P, 2] as
// the network scales them.
nlohmann::json point_detail(const images::FaceLayout& layout, std::span<const float> predicted,
                            std::span<const float> points, const PointErrors& errors);

// A row per point: its mean error in each set, and over all pictures that know it. Empty where no picture knows any.
std::string point_table(const images::FaceLayout& layout, const std::vector<Task::ScoredDetails>& sets);

}  // namespace rehearse::keypoints
