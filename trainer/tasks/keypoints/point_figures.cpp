#include "trainer/tasks/keypoints/point_figures.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <sstream>

#include "data/images/scaling.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/table.h"

namespace rehearse::keypoints {
namespace {

// Hundredths of a pixel are finer than anybody marks.
double rounded(double value, double steps) {
  return std::round(value * steps) / steps;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

}  // namespace

nlohmann::json points_json(const images::FaceLayout& layout, std::span<const float> points) {
  nlohmann::json object = nlohmann::json::object();
  for (size_t p = 0; p < layout.num_points(); ++p) {
    const double x = points[2 * p], y = points[2 * p + 1];
    nlohmann::json& point = object[layout.point_names[p]];
    if (std::isfinite(x) && std::isfinite(y)) point = {rounded(x, 100), rounded(y, 100)};
  }
  return object;
}

std::vector<float> points_from(const images::FaceLayout& layout, const nlohmann::json& object) {
  std::vector<float> points(2 * layout.num_points(), std::numeric_limits<float>::quiet_NaN());
  for (size_t p = 0; p < layout.num_points(); ++p) {
    const auto found = object.find(layout.point_names[p]);
    if (found == object.end() || !found->is_array()) continue;
    points[2 * p] = found->at(0);
    points[2 * p + 1] = found->at(1);
  }
  return points;
}

nlohmann::json point_detail(const images::FaceLayout& layout, std::span<const float> predicted,
                            std::span<const float> points, const PointErrors& errors) {
  std::vector<float> pixels(predicted.size());
  images::unscale_points(layout, predicted, pixels);
  nlohmann::json distances = nlohmann::json::object();
  for (size_t p = 0; p < layout.num_points(); ++p)
    if (std::isfinite(errors.distances[p])) distances[layout.point_names[p]] = rounded(errors.distances[p], 1e5);
  return {{"points", points_json(layout, pixels)},
          {"true_points", points_json(layout, points)},
          {"point_errors", distances}};
}

std::vector<std::string> point_table(const images::FaceLayout& layout,
                                     const std::vector<const nlohmann::json*>& details) {
  TextTable table({{"point", TextTable::kLeft}, {"mean error"}, {"pictures"}});
  bool is_empty = true;
  for (const std::string& name : layout.point_names) {
    double sum = 0;
    size_t count = 0;
    for (const nlohmann::json* detail : details) {
      const nlohmann::json& errors = detail->at("point_errors");
      if (!errors.contains(name)) continue;
      sum += errors.at(name).get<double>();
      ++count;
    }
    if (count > 0) is_empty = false;
    table.add_row(
        {printable(name), count > 0 ? percent(sum / static_cast<double>(count)) : "-", std::to_string(count)});
  }
  if (is_empty) return {};
  std::vector<std::string> lines;
  std::istringstream text(table.text());
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

}  // namespace rehearse::keypoints
