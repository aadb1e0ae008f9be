#include "data/images/face_records.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "trainer/base/error.h"
#include "trainer/base/random.h"
#include "trainer/base/text/printable.h"

namespace rehearse::images {
namespace {

template <class T>
void append_row(std::vector<T>& to, const std::vector<T>& from, size_t row, size_t width) {
  const auto start = from.begin() + static_cast<std::ptrdiff_t>(row * width);
  to.insert(to.end(), start, start + static_cast<std::ptrdiff_t>(width));
}

void append_record(FaceRecords& to, const FaceRecords& from, size_t row) {
  append_row(to.pixels, from.pixels, row, from.layout.num_pixels());
  append_row(to.points, from.points, row, 2 * from.layout.num_points());
  to.id.push_back(from.id[row]);
  to.source.push_back(from.source[row]);
}

uint32_t index_of(const std::vector<std::string>& sorted, const std::string& name) {
  return static_cast<uint32_t>(std::lower_bound(sorted.begin(), sorted.end(), name) - sorted.begin());
}

// Domains by name, records by (domain, id).
FaceRecords sorted(const FaceRecords& records) {
  FaceRecords result;
  result.layout = records.layout;
  result.domains = records.domains;
  std::sort(result.domains.begin(), result.domains.end());
  result.domains.erase(std::unique(result.domains.begin(), result.domains.end()), result.domains.end());
  std::vector<uint32_t> domain(records.size());
  for (size_t n = 0; n < domain.size(); ++n) domain[n] = index_of(result.domains, records.domains[records.domain[n]]);
  std::vector<size_t> rows(records.size());
  std::iota(rows.begin(), rows.end(), size_t{0});
  std::sort(rows.begin(), rows.end(), [&](size_t one, size_t other) {
    return std::tuple(domain[one], records.id[one]) < std::tuple(domain[other], records.id[other]);
  });
  result.pixels.reserve(records.pixels.size());
  for (const size_t row : rows) {
    append_record(result, records, row);
    result.domain.push_back(domain[row]);
  }
  return result;
}

}  // namespace

std::span<const uint8_t> FaceRecords::pixels_of(size_t n) const {
  return std::span(pixels).subspan(n * layout.num_pixels(), layout.num_pixels());
}

std::span<const float> FaceRecords::points_of(size_t n) const {
  return std::span(points).subspan(n * 2 * layout.num_points(), 2 * layout.num_points());
}

uint64_t stable_picture_id(int width, int height, std::span<const uint8_t> pixels) {
  std::string text = concat(width, '\x1f', height, '\x1f');
  text.append(reinterpret_cast<const char*>(pixels.data()), pixels.size());
  return hash_text(text);
}

FaceCollector::FaceCollector(FaceLayout layout) {
  records_.layout = std::move(layout);
}

bool FaceCollector::add(const FaceRecord& record, std::string& reason) {
  reason = reason_against(records_.layout, record);
  if (!reason.empty()) return false;
  const uint64_t id = stable_picture_id(records_.layout.width, records_.layout.height, record.pixels);
  const auto [place, is_new] = taken_.emplace(id, records_.size());
  if (!is_new) {
    reason = concat("expected each picture once; found that of ", printable(records_.source[place->second]));
    return false;
  }
  auto domain = std::find(records_.domains.begin(), records_.domains.end(), record.domain);
  if (domain == records_.domains.end()) domain = records_.domains.insert(domain, record.domain);
  records_.domain.push_back(static_cast<uint32_t>(domain - records_.domains.begin()));
  records_.pixels.insert(records_.pixels.end(), record.pixels.begin(), record.pixels.end());
  records_.points.insert(records_.points.end(), record.points.begin(), record.points.end());
  records_.id.push_back(id);
  records_.source.push_back(record.source);
  return true;
}

FaceRecords FaceCollector::finish() && {
  return sorted(records_);
}

FaceRecords chosen(const FaceRecords& records, const std::vector<size_t>& rows) {
  REHEARSE_CHECK(std::is_sorted(rows.begin(), rows.end()), "records stay sorted by domain and id");
  FaceRecords result;
  result.layout = records.layout;
  result.domains = records.domains;
  for (const size_t row : rows) {
    append_record(result, records, row);
    result.domain.push_back(records.domain[row]);
  }
  return result;
}

FaceRecords joined(const std::vector<FaceRecords>& parts, const std::vector<std::string>& names) {
  REHEARSE_CHECK(parts.size() == names.size() && !parts.empty(), "each part has a name for messages");
  FaceRecords all;
  all.layout = parts[0].layout;
  std::map<uint64_t, size_t> part_of;
  for (size_t i = 0; i < parts.size(); ++i) {
    const FaceRecords& part = parts[i];
    if (part.layout != all.layout)
      throw DataError(names[i], ": expected size, points and pairs of ", names[0],
                      "; found others; import both with the same size and points");
    const auto first_domain = static_cast<uint32_t>(all.domains.size());
    all.domains.insert(all.domains.end(), part.domains.begin(), part.domains.end());
    for (size_t n = 0; n < part.size(); ++n) {
      const auto [place, is_new] = part_of.emplace(part.id[n], i);
      if (!is_new)
        throw DataError(names[i], ": expected each picture once; found ", quoted(part.source[n]), ", which ",
                        names[place->second], " has too; list one of them");
      append_record(all, part, n);
      all.domain.push_back(first_domain + part.domain[n]);
    }
  }
  return sorted(all);
}

bool is_validation(uint64_t id, double share) {
  return RandomKey(id).with("validation").uniform(0) < share;
}

FaceSplit split_by_id(const FaceRecords& records, double valid_share) {
  std::vector<size_t> rows[2];
  for (size_t n = 0; n < records.size(); ++n) rows[is_validation(records.id[n], valid_share) ? 1 : 0].push_back(n);
  return {chosen(records, rows[0]), chosen(records, rows[1])};
}

}  // namespace rehearse::images
