#include "data/images/import/kaggle_csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "data/images/import/csv_fields.h"
#include "data/text/text_lines.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse::images {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

struct Columns {
  FaceLayout layout;
  std::vector<size_t> coordinates;  // [P, 2], of the point's x and y in a line
  size_t image = 0;
  size_t count = 0;
  std::vector<std::string> ignored;
};

std::optional<size_t> column_of(const std::vector<std::string>& header, const std::string& name) {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end()) return {};
  return static_cast<size_t>(found - header.begin());
}

std::string_view trimmed(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t");
  return start == std::string_view::npos ? "" : text.substr(start, text.find_last_not_of(" \t") + 1 - start);
}

Columns columns_of(std::vector<std::string> header, const std::string& where, const KaggleOptions& options) {
  for (std::string& name : header) name = trimmed(name);
  for (size_t i = 0; i < header.size(); ++i)
    if (std::find(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(i), header[i]) !=
        header.begin() + static_cast<std::ptrdiff_t>(i))
      throw DataError(where, ": expected each column once; found two of ", quoted(header[i]));
  const std::optional<size_t> image = column_of(header, "Image");
  if (!image)
    throw DataError(where,
                    ": expected a header with a column Image; found none; is this the table of facial keypoints?");
  Columns columns{.layout = {}, .coordinates = {}, .image = *image, .count = header.size(), .ignored = {}};
  std::vector<std::string> points;
  for (const std::string& name : header) {
    const std::string point = name.size() > 2 ? name.substr(0, name.size() - 2) : "";
    const bool is_x = name.ends_with("_x"), is_y = name.ends_with("_y");
    if (!is_x && !is_y && name != "Image") columns.ignored.push_back(name);
    if ((is_x && !column_of(header, point + "_y")) || (is_y && !column_of(header, point + "_x")))
      throw DataError(where, ": expected ", quoted(point), " with _x and _y; found one of them");
    if (is_x) points.push_back(point);
  }
  if (points.empty())
    throw DataError(where,
                    ": expected columns <point>_x and <point>_y; found none; a table without points (test.csv) "
                    "cannot be trained on");
  columns.layout = layout_of(options.width, options.height, points);
  for (const std::string& point : columns.layout.point_names)
    for (const char* axis : {"_x", "_y"}) columns.coordinates.push_back(*column_of(header, point + axis));
  return columns;
}

// Empty: fine.
std::string read_points(const std::vector<std::string>& fields, const Columns& columns, std::vector<float>& points) {
  points.assign(columns.coordinates.size(), kMissing);
  for (size_t i = 0; i < points.size(); ++i) {
    const std::string_view field = trimmed(fields[columns.coordinates[i]]);
    if (field.empty()) continue;
    const auto [end, failure] = std::from_chars(field.data(), field.data() + field.size(), points[i]);
    if (failure != std::errc() || end != field.data() + field.size() || !std::isfinite(points[i]))
      return concat(columns.layout.point_names[i / 2], i % 2 == 0 ? "_x" : "_y",
                    ": expected a number or nothing; found ", quoted(field, 40));
  }
  return {};
}

std::string read_pixels(std::string_view text, size_t expected, std::vector<uint8_t>& pixels) {
  pixels.clear();
  const char* at = text.data();
  const char* end = text.data() + text.size();
  while (true) {
    while (at != end && (*at == ' ' || *at == '\t')) ++at;
    if (at == end) break;
    unsigned value = 0;
    const auto [behind, failure] = std::from_chars(at, end, value);
    if (failure != std::errc() || value > 255 || (behind != end && *behind != ' ' && *behind != '\t'))
      return concat("Image: expected grey values of 0 to 255; found ",
                    quoted(std::string_view(at, static_cast<size_t>(std::find(at, end, ' ') - at)), 20));
    if (pixels.size() < expected + 1) pixels.push_back(static_cast<uint8_t>(value));
    at = behind;
  }
  if (pixels.size() != expected)
    return concat("Image: expected ", expected, " grey values; found ",
                  pixels.size() > expected ? "more" : concat(pixels.size()));
  return {};
}

// Empty: `record` is filled.
std::string read_row(const std::vector<std::string>& fields, const Columns& columns, FaceRecord& record) {
  if (fields.size() != columns.count) return concat("expected ", columns.count, " fields; found ", fields.size());
  const std::string reason = read_points(fields, columns, record.points);
  if (!reason.empty()) return reason;
  return read_pixels(fields[columns.image], columns.layout.num_pixels(), record.pixels);
}

}  // namespace

FaceImport import_kaggle_csv(const fs::path& table, const KaggleOptions& options) {
  TextLines lines(table);
  std::string line;
  std::vector<std::string> fields;
  if (!lines.next(line)) throw DataError(table.string(), ": expected a header; found an empty file");
  if (!split_csv(line, fields)) throw DataError(lines.where(), ": expected a header; found a stray quotation mark");
  const Columns columns = columns_of(fields, lines.where(), options);
  FaceCollector collector(columns.layout);
  FaceImport result;
  result.ignored = columns.ignored;
  FaceRecord record;
  record.domain = options.domain;
  while (lines.next(line)) {
    if (trimmed(line).empty()) continue;
    record.source = concat(table.filename().string(), ":", lines.number());
    std::string reason = "expected quotation marks around whole fields; found others";
    if (split_csv(line, fields)) reason = read_row(fields, columns, record);
    if (reason.empty()) collector.add(record, reason);
    if (!reason.empty()) result.rejected.push_back({lines.where(), reason});
  }
  result.records = std::move(collector).finish();
  return result;
}

}  // namespace rehearse::images
