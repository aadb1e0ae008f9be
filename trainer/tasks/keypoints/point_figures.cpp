#include "trainer/tasks/keypoints/point_figures.h"

#include <cmath>
#include <cstdio>
#include <limits>

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

struct Mean {
  double sum = 0;
  size_t count = 0;
  std::string text() const { return count > 0 ? percent(sum / static_cast<double>(count)) : "-"; }
};

Mean mean_error(const std::string& point, const std::vector<const nlohmann::json*>& details) {
  Mean mean;
  for (const nlohmann::json* detail : details) {
    if (!detail->is_object() || !detail->contains("point_errors")) continue;
    const nlohmann::json& errors = detail->at("point_errors");
    const auto found = errors.find(point);
    if (found == errors.end()) continue;
    mean.sum += found->get<double>();
    ++mean.count;
  }
  return mean;
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

std::string point_table(const images::FaceLayout& layout, const std::vector<Task::ScoredDetails>& sets) {
  std::vector<TextTable::Column> columns = {{"mean error of", TextTable::kLeft}};
  for (const Task::ScoredDetails& set : sets) columns.push_back({printable(set.domain)});
  columns.push_back({"all"});
  columns.push_back({"pictures"});
  TextTable table(std::move(columns));
  size_t known = 0;
  for (const std::string& name : layout.point_names) {
    std::vector<std::string> row = {printable(name)};
    Mean all;
    for (const Task::ScoredDetails& set : sets) {
      const Mean mean = mean_error(name, set.details);
      row.push_back(mean.text());
      all.sum += mean.sum;
      all.count += mean.count;
    }
    known += all.count;
    row.push_back(all.text());
    row.push_back(std::to_string(all.count));
    table.add_row(std::move(row));
  }
  return known == 0 ? "" : table.text();
}

}  // namespace rehearse::keypoints
