// Names of points and the rules that layouts, records and sets hold to.
#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "data/images/face_records.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse::images {
namespace {

constexpr int kMostSide = 4096;
constexpr size_t kMostPoints = 1000;
constexpr size_t kMostNameBytes = 400;

// Keys of configurations and labels of metrics, as in manifests.
bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= kMostNameBytes && printable(text) == text;
}

bool is_source(const std::string& text) {
  return printable(text) == text;
}

bool is_coordinate(float value, int side) {
  return std::isfinite(value) && value >= static_cast<float>(-side) && value <= static_cast<float>(2 * side);
}

// Empty: fine.
std::string reason_against_points(const FaceLayout& layout, std::span<const float> points) {
  for (size_t p = 0; p < layout.num_points(); ++p) {
    const float x = points[2 * p], y = points[2 * p + 1];
    if (std::isnan(x) && std::isnan(y)) continue;
    if (is_coordinate(x, layout.width) && is_coordinate(y, layout.height)) continue;
    return concat(layout.point_names[p],
                  ": expected x and y at most one picture away from the picture, or neither; found ", x, ", ", y);
  }
  return {};
}

void expect_layout(const FaceLayout& layout, const std::string& where) {
  if (layout.width < 1 || layout.height < 1 || layout.width > kMostSide || layout.height > kMostSide)
    throw DataError(where, ": expected pictures of 1 to ", kMostSide, " pixels a side; found ", layout.width, " x ",
                    layout.height);
  if (layout.point_names.empty() || layout.num_points() > kMostPoints)
    throw DataError(where, ": expected 1 to ", kMostPoints, " points; found ", layout.num_points());
  std::set<std::string> names;
  for (const std::string& name : layout.point_names)
    if (!is_name(name) || !names.insert(name).second)
      throw DataError(where, ": expected point names, each once; found ", quoted(name));
  std::set<uint32_t> paired;
  for (const auto& pair : layout.flip_pairs)
    for (const uint32_t point : pair)
      if (point >= layout.num_points() || !paired.insert(point).second)
        throw DataError(where, ": expected flip pairs of existing points, each in one pair; found point ", point);
}

void expect_rows(const FaceRecords& records, const std::string& where) {
  const std::vector<std::string>& domains = records.domains;
  for (size_t n = 0; n < records.size(); ++n) {
    const auto fail = [&](const auto&... found) { throw DataError(where, ": record ", n, ": ", found...); };
    if (records.domain[n] >= domains.size())
      fail("expected one of ", domains.size(), " domains; found number ", records.domain[n]);
    if (!is_source(records.source[n])) fail("expected a source without control characters; found another");
    if (n > 0 && std::tuple(records.domain[n - 1], records.id[n - 1]) >= std::tuple(records.domain[n], records.id[n]))
      fail("expected records sorted by domain and id, no id twice; found others");
    const std::string reason = reason_against_points(records.layout, records.points_of(n));
    if (!reason.empty()) fail(reason);
  }
  std::vector<uint64_t> ids = records.id;
  std::sort(ids.begin(), ids.end());
  if (std::adjacent_find(ids.begin(), ids.end()) != ids.end())
    throw DataError(where, ": expected each id once; found one twice");
}

std::string word_flipped(const std::string& word) {
  return word == "left" ? "right" : word == "right" ? "left" : word;
}

// "left_eye_center" for "right_eye_center"; itself without such a word.
std::string name_flipped(const std::string& name) {
  std::string flipped;
  for (size_t start = 0; start <= name.size();) {
    const size_t end = std::min(name.find('_', start), name.size());
    flipped += (start > 0 ? "_" : "") + word_flipped(name.substr(start, end - start));
    start = end + 1;
  }
  return flipped;
}

}  // namespace

const std::vector<std::string>& kaggle_point_names() {
  static const std::vector<std::string> kNames = {"left_eye_center",
                                                  "right_eye_center",
                                                  "left_eye_inner_corner",
                                                  "left_eye_outer_corner",
                                                  "right_eye_inner_corner",
                                                  "right_eye_outer_corner",
                                                  "left_eyebrow_inner_end",
                                                  "left_eyebrow_outer_end",
                                                  "right_eyebrow_inner_end",
                                                  "right_eyebrow_outer_end",
                                                  "nose_tip",
                                                  "mouth_left_corner",
                                                  "mouth_right_corner",
                                                  "mouth_center_top_lip",
                                                  "mouth_center_bottom_lip"};
  return kNames;
}

std::vector<std::string> in_layout_order(std::vector<std::string> names) {
  const std::vector<std::string>& known = kaggle_point_names();
  const auto rank = [&](const std::string& name) {
    return std::find(known.begin(), known.end(), name) - known.begin();
  };
  std::sort(names.begin(), names.end(), [&](const std::string& one, const std::string& other) {
    return std::tuple(rank(one), one) < std::tuple(rank(other), other);
  });
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::array<uint32_t, 2>> flip_pairs_of(const std::vector<std::string>& point_names) {
  std::vector<std::array<uint32_t, 2>> pairs;
  for (size_t p = 0; p < point_names.size(); ++p) {
    const auto other = std::find(point_names.begin(), point_names.end(), name_flipped(point_names[p]));
    const auto q = static_cast<size_t>(other - point_names.begin());
    if (q > p && q < point_names.size()) pairs.push_back({static_cast<uint32_t>(p), static_cast<uint32_t>(q)});
  }
  return pairs;
}

FaceLayout layout_of(int width, int height, const std::vector<std::string>& names) {
  const std::vector<std::string> ordered = in_layout_order(names);
  return {width, height, ordered, flip_pairs_of(ordered)};
}

std::string reason_against(const FaceLayout& layout, const FaceRecord& record) {
  REHEARSE_CHECK(record.points.size() == 2 * layout.num_points(), "importers give a place to every point");
  if (record.pixels.size() != layout.num_pixels())
    return concat("expected ", layout.num_pixels(), " pixels; found ", record.pixels.size());
  if (!is_name(record.domain))
    return concat("domain: expected a name of 1 to ", kMostNameBytes, " printable bytes; found ",
                  quoted(record.domain, 40));
  if (!is_source(record.source)) return "expected a source without control characters; found another";
  return reason_against_points(layout, record.points);
}

void expect_whole(const FaceRecords& records, const std::string& where) {
  expect_layout(records.layout, where);
  const size_t count = records.size();
  if (records.pixels.size() != count * records.layout.num_pixels() || records.domain.size() != count ||
      records.points.size() != count * 2 * records.layout.num_points() || records.source.size() != count)
    throw DataError(where, ": expected pixels, points, domain and source for each of ", count,
                    " records; found other counts");
  for (size_t d = 0; d < records.domains.size(); ++d)
    if (!is_name(records.domains[d]) || (d > 0 && records.domains[d - 1] >= records.domains[d]))
      throw DataError(where, ": expected domains by alphabet, each once; found ", quoted(records.domains[d]));
  expect_rows(records, where);
}

}  // namespace rehearse::images
