// Small pictures, records and folders for the tests of data/images.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "data/images/face_records.h"
#include "tests/data/text/text_support.h"
#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse::images {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

// What a call throws, as text; "nothing thrown" otherwise.
template <class Failure, class Call>
std::string failure_of(const Call& call) {
  try {
    call();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "nothing thrown";
}

// What an importer gives for damaged bytes: nothing but a DataError, or a set that is whole.
template <class Import>
void expect_error_or_whole(const Import& import) {
  FaceRecords records;
  const std::string failure = failure_of<DataError>([&] { records = import().records; });
  if (failure == "nothing thrown") expect_whole(records, "import");
}

inline std::vector<std::byte> bytes_of(const std::string& text) {
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  return {bytes, bytes + text.size()};
}

inline FaceLayout small_layout() {
  return layout_of(4, 3, {"left_eye_center", "right_eye_center", "nose_tip"});
}

// Different pictures for different numbers.
inline FaceRecord small_record(uint64_t number, const std::string& domain = "faces") {
  FaceRecord record{.pixels = std::vector<uint8_t>(12), .points = {3, 1, 1, 1, 2, 2}, .domain = domain, .source = ""};
  for (size_t i = 0; i < 12; ++i) record.pixels[i] = static_cast<uint8_t>(RandomKey(number).below(256, i));
  record.source = concat("picture ", number);
  return record;
}

inline FaceRecords small_records(uint64_t count) {
  FaceCollector collector(small_layout());
  std::string reason;
  for (uint64_t n = 0; n < count; ++n) collector.add(small_record(n, n % 3 == 0 ? "dark" : "bright"), reason);
  return std::move(collector).finish();
}

}  // namespace rehearse::images
