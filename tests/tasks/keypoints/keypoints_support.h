// Small pictures, files and configurations for the tests of the keypoints task.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "data/images/face_file.h"
#include "data/images/face_records.h"
#include "data/sampler/batches/batch_planner.h"
#include "tests/data/text/text_support.h"
#include "trainer/base/config/config.h"
#include "trainer/base/error.h"
#include "trainer/base/random.h"
#include "trainer/base/registry.h"
#include "trainer/tasks/keypoints/keypoints_task.h"

namespace rehearse::keypoints {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

inline const std::vector<std::string>& few_names() {
  static const std::vector<std::string> kNames = {"left_eye_center", "right_eye_center", "nose_tip"};
  return kNames;
}

inline images::FaceLayout small_layout() {
  return images::layout_of(8, 6, few_names());
}

// Noise, different for different numbers; the eyes 4 pixels apart.
inline images::FaceRecord small_record(uint64_t number, const std::string& domain) {
  images::FaceRecord record{
      .pixels = std::vector<uint8_t>(48), .points = {6, 2, 2, 2, 4, 4}, .domain = domain, .source = ""};
  for (size_t i = 0; i < 48; ++i) record.pixels[i] = static_cast<uint8_t>(RandomKey(number).below(256, i));
  record.source = concat("picture ", number);
  return record;
}

inline images::FaceRecords records_of(const std::vector<images::FaceRecord>& all) {
  images::FaceCollector collector(small_layout());
  std::string reason;
  for (const images::FaceRecord& record : all) EXPECT_TRUE(collector.add(record, reason)) << reason;
  return std::move(collector).finish();
}

inline images::FaceRecords small_records(uint64_t count, uint64_t first = 0) {
  std::vector<images::FaceRecord> all;
  for (uint64_t n = first; n < first + count; ++n) all.push_back(small_record(n, n % 3 == 0 ? "dark" : "bright"));
  return records_of(all);
}

inline MicroBatch draws_of(const std::vector<uint32_t>& pictures, uint32_t visit = 0) {
  MicroBatch plan;
  for (const uint32_t picture : pictures) {
    Draw draw;
    draw.utterance = picture;
    draw.visit = visit;
    plan.positions.push_back(static_cast<uint32_t>(plan.draws.size()));
    plan.draws.push_back(draw);
  }
  return plan;
}

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

// A task on files in a folder of its own.
class TaskFixture {
 public:
  explicit TaskFixture(uint64_t train = 9, uint64_t valid = 3) {
    write("train.faces.h5", small_records(train));
    if (valid > 0) write("valid.faces.h5", small_records(valid, train));
  }
  void write(const std::string& name, const images::FaceRecords& records) {
    FileLayer files;
    images::write_faces(files, folder_ / name, records);
  }
  std::string path(const std::string& name) const { return folder_ / name; }

  // One convolution and one dense layer; `more` are further lines of the configuration.
  static std::string model(const std::string& blocks = kBlocks) { return "model:\n  blocks: [" + blocks + "]\n"; }
  std::unique_ptr<KeypointsTask> task(const std::string& yaml = model(), const LoadedCheckpoint* checkpoint = nullptr) {
    config_ = std::make_unique<Config>(Config::parse(
        concat("data: {train: [", path("train.faces.h5"), "], valid: [", path("valid.faces.h5"), "]}\n", yaml)));
    ConfigNode node = config_->root().child("task");
    Task::Context context{.root = config_->root(), .seed = 3, .all_reduce_sum = {}, .checkpoint = checkpoint};
    std::unique_ptr<Task> task = Registry<Task>::instance().create("keypoints", node, context);
    return std::unique_ptr<KeypointsTask>(dynamic_cast<KeypointsTask*>(task.release()));
  }

  static constexpr const char* kBlocks =
      "{type: conv2d, width: 8, channels: 3, norm: none}, {type: dense, frames: 4, units: 5, norm: none}";

 private:
  TemporaryFolder folder_{"keypoints"};
  std::unique_ptr<Config> config_;
};

}  // namespace rehearse::keypoints
