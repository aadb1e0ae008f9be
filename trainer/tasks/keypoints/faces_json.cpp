#include "trainer/tasks/keypoints/faces_json.h"

#include <nlohmann/json.hpp>
#include <set>

#include "trainer/base/error.h"
#include "trainer/base/text/json_fields.h"

namespace rehearse::keypoints {
namespace {

constexpr int64_t kVersion = 1;
constexpr int64_t kLongestSide = 4096;

int side_from(const JsonFields& fields, const std::string& key) {
  const nlohmann::json value = fields.value(key);
  if (!value.is_number_integer() || value < 1 || value > kLongestSide)
    fields.fail(key, concat("1 to ", kLongestSide, " pixels"));
  return value.get<int>();
}

}  // namespace

std::string faces_json(const images::FaceLayout& layout) {
  const nlohmann::json object = {
      {"version", kVersion}, {"width", layout.width}, {"height", layout.height}, {"points", layout.point_names}};
  return object.dump(2) + "\n";
}

images::FaceLayout layout_from(const std::string& json, const std::string& where) {
  const nlohmann::json object = parse_json_object(json, where);
  const JsonFields fields(object, where);
  if (fields.value("version") != kVersion) fields.fail("version", concat("version ", kVersion));
  const nlohmann::json points = fields.value("points");
  if (!points.is_array() || points.empty()) fields.fail("points", "a list of names");
  std::vector<std::string> names;
  for (const nlohmann::json& name : points) {
    if (!name.is_string()) fields.fail("points", "a list of names");
    names.push_back(name.get<std::string>());
  }
  if (std::set(names.begin(), names.end()).size() != names.size()) fields.fail("points", "each name once");
  return {side_from(fields, "width"), side_from(fields, "height"), names, images::flip_pairs_of(names)};
}

bool is_same_form(const images::FaceLayout& one, const images::FaceLayout& other) {
  return one.width == other.width && one.height == other.height && one.point_names == other.point_names;
}

std::string form_text(const images::FaceLayout& layout) {
  constexpr size_t kFew = 3;
  std::string names;
  for (size_t p = 0; p < layout.num_points() && p < kFew; ++p) names += (p > 0 ? ", " : "") + layout.point_names[p];
  if (layout.num_points() > kFew) names += ", …";
  return concat(layout.width, " x ", layout.height, " pixels with ", layout.num_points(), " points (", names, ")");
}

}  // namespace rehearse::keypoints
