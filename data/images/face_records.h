// Grey pictures of faces with their points, as training reads them: sorted, each picture once.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rehearse::images {

// What all records of a set have in common. Coordinates are pixels from the upper left corner of the picture: pixel
// (column 0, row 0) covers [0, 1) x [0, 1), the picture spans [0, width] x [0, height].
struct FaceLayout {
  int width = 96;
  int height = 96;
  std::vector<std::string> point_names;             // [P]
  std::vector<std::array<uint32_t, 2>> flip_pairs;  // points that change places in a mirror, each at most once

  size_t num_pixels() const { return static_cast<size_t>(width) * static_cast<size_t>(height); }
  size_t num_points() const { return point_names.size(); }
  bool operator==(const FaceLayout&) const = default;
};

// The 15 points of the Kaggle facial keypoints data, in our order. "left" is the subject's left: right in the picture.
const std::vector<std::string>& kaggle_point_names();
// Names sorted for a layout: those of kaggle_point_names in their order, then others by alphabet; repetitions go.
std::vector<std::string> in_layout_order(std::vector<std::string> names);
// Pairs of names that differ in one word, left in one and right in the other ("left_eye_center", "mouth_left_corner").
std::vector<std::array<uint32_t, 2>> flip_pairs_of(const std::vector<std::string>& point_names);
FaceLayout layout_of(int width, int height, const std::vector<std::string>& names);

struct FaceRecord {
  std::vector<uint8_t> pixels;  // [H, W]
  std::vector<float> points;    // [P, 2], x and y; both NaN: missing
  std::string domain;
  std::string source;  // for messages: "training.csv:17", "a.png"
};

// Sorted by (domain, id); ids are unique.
struct FaceRecords {
  FaceLayout layout;
  std::vector<std::string> domains;  // sorted, unique; one without records is allowed
  std::vector<uint8_t> pixels;       // [N, H, W]
  std::vector<float> points;         // [N, P, 2], NaN: missing
  std::vector<uint32_t> domain;      // [N], index into domains
  std::vector<uint64_t> id;          // [N]
  std::vector<std::string> source;   // [N]

  size_t size() const { return id.size(); }
  std::span<const uint8_t> pixels_of(size_t n) const;  // [H, W]
  std::span<const float> points_of(size_t n) const;    // [P, 2]
};

// Depends on size and pixels only: corrected points or another domain leave it as it is, and the same picture in two
// sets has one id (grammar: README.md).
uint64_t stable_picture_id(int width, int height, std::span<const uint8_t> pixels);

// DataError "where: …" unless every rule above and every limit of README.md holds.
void expect_whole(const FaceRecords& records, const std::string& where);
// The same for one record that is to enter a set: the reason why it cannot; empty: it can.
std::string reason_against(const FaceLayout& layout, const FaceRecord& record);

// Gathers records in any order. Not thread-safe.
class FaceCollector {
 public:
  explicit FaceCollector(FaceLayout layout);
  // False and a reason when the record breaks a rule or its picture is there already (under any domain).
  bool add(const FaceRecord& record, std::string& reason);
  size_t size() const { return records_.size(); }
  FaceRecords finish() &&;  // sorted

 private:
  FaceRecords records_;  // unsorted; domains in order of appearance
  std::map<uint64_t, size_t> taken_;
};

// These rows, in this order of rows; all domains stay named. Rows must rise.
FaceRecords chosen(const FaceRecords& records, const std::vector<size_t>& rows);
// One set of several, of one layout and without common pictures; else DataError naming two of `names`.
FaceRecords joined(const std::vector<FaceRecords>& parts, const std::vector<std::string>& names);

// A function of the id alone: a picture stays on its side when others come or go. share in [0, 1].
bool is_validation(uint64_t id, double share);
struct FaceSplit {
  FaceRecords train;
  FaceRecords valid;
};
FaceSplit split_by_id(const FaceRecords& records, double valid_share);

}  // namespace rehearse::images
