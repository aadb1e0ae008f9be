#include "data/images/import/point_lines.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "data/images/picture.h"
#include "data/text/text_lines.h"
#include "trainer/base/error.h"
#include "trainer/base/text/json_fields.h"
#include "trainer/base/text/printable.h"

namespace rehearse::images {
namespace {

struct Line {
  std::string where;   // "file:line"
  std::string source;  // the picture as the line names it
  std::string domain;
  std::map<std::string, std::optional<std::array<double, 2>>> points;
  std::string reason;  // why it cannot be used; empty: it can
};

std::optional<std::array<double, 2>> point_from(const JsonFields& points, const std::string& name) {
  const nlohmann::json value = points.value(name);
  if (value.is_null()) return {};
  if (!value.is_array() || value.size() != 2 || !value[0].is_number() || !value[1].is_number())
    points.fail(name, "[x, y] or null");
  return std::array<double, 2>{value[0].get<double>(), value[1].get<double>()};
}

void read_line(const std::string& text, const PointLinesOptions& options, Line& line) {
  const nlohmann::json object = parse_json_object(text, line.where);
  const JsonFields fields(object, line.where);
  line.source = fields.required_text("image");
  line.domain = fields.text("domain");
  if (line.domain.empty()) line.domain = options.domain;
  const nlohmann::json* given = fields.find("points");
  if (given == nullptr) fields.fail("points", "an object of points", "none");
  const JsonFields points(*given, line.where + ": points");
  for (const auto& [name, value] : given->items()) {
    const auto& known = options.point_names;
    if (!known.empty() && std::find(known.begin(), known.end(), name) == known.end())
      points.fail(name, "one of the points that were asked for", "another");
    if (name.empty() || name.size() > 400 || printable(name) != name)
      points.fail(printable(name), "a name of printable characters", "another");
    line.points[name] = point_from(points, name);
  }
}

// The message without the place that it is listed under.
std::string without_place(const std::string& message, const std::string& where) {
  return message.starts_with(where + ": ") ? message.substr(where.size() + 2) : message;
}

std::vector<Line> read_lines(const fs::path& path, const PointLinesOptions& options) {
  TextLines text(path);
  std::vector<Line> lines;
  std::string one;
  while (text.next(one)) {
    if (one.find_first_not_of(" \t") == std::string::npos) continue;
    Line& line = lines.emplace_back();
    line.where = text.where();
    try {
      read_line(one, options, line);
    } catch (const DataError& failure) {  // one line of many: listed, not fatal
      line.reason = without_place(failure.what(), line.where);
    }
  }
  return lines;
}

std::vector<std::string> names_in(const std::vector<Line>& lines) {
  std::vector<std::string> names;
  for (const Line& line : lines)
    if (line.reason.empty())
      for (const auto& [name, point] : line.points) names.push_back(name);
  return in_layout_order(std::move(names));
}

FaceRecord record_of(const Line& line, const fs::path& folder, const FaceLayout& layout) {
  const Picture picture = read_picture(folder / line.source);
  FaceRecord record{.pixels = resized(grey_of(picture), layout.width, layout.height).values,
                    .points = std::vector<float>(2 * layout.num_points(), std::numeric_limits<float>::quiet_NaN()),
                    .domain = line.domain,
                    .source = printable(line.source)};
  const double scale[] = {static_cast<double>(layout.width) / picture.width,
                          static_cast<double>(layout.height) / picture.height};
  for (size_t p = 0; p < layout.num_points(); ++p) {
    const auto given = line.points.find(layout.point_names[p]);
    if (given == line.points.end() || !given->second) continue;
    for (size_t axis = 0; axis < 2; ++axis)
      record.points[2 * p + axis] = static_cast<float>((*given->second)[axis] * scale[axis]);
  }
  return record;
}

}  // namespace

FaceImport import_point_lines(const fs::path& path, const PointLinesOptions& options) {
  const std::vector<Line> lines = read_lines(path, options);
  const std::vector<std::string> names = options.point_names.empty() ? names_in(lines) : options.point_names;
  if (names.empty()) {
    const std::string first =
        lines.empty() ? "no lines" : concat("none; first: ", lines[0].where, ": ", lines[0].reason);
    throw DataError(path.string(), ": expected lines that name points; found ", first);
  }
  FaceCollector collector(layout_of(options.width, options.height, names));
  FaceImport result;
  const FaceLayout layout = layout_of(options.width, options.height, names);
  for (const Line& line : lines) {
    std::string reason = line.reason;
    try {
      if (reason.empty()) collector.add(record_of(line, path.parent_path(), layout), reason);
    } catch (const DataError& failure) {  // one picture of many: listed, not fatal
      reason = failure.what();
    }
    if (!reason.empty()) result.rejected.push_back({line.where, reason});
  }
  result.records = std::move(collector).finish();
  return result;
}

}  // namespace rehearse::images
