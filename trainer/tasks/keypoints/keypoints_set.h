// Pictures of faces as the engine and the network see them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "data/images/augment.h"
#include "data/images/face_records.h"
#include "trainer/base/random.h"
#include "trainer/tasks/task.h"

namespace rehearse::keypoints {

// All of one size, so nothing is padded.
struct FaceBatch : Batch {
  std::string size_text() const override;
  std::vector<Measure> measures() const override;

  int width = 0, height = 0;
  std::vector<float> x;                 // [B, H, W], 0 to 1
  std::vector<float> targets;           // [B, P, 2], -1 to 1 across the picture; 0 for missing points
  std::vector<float> known;             // [B, P, 2], 1, or 0 for missing points
  std::vector<float> points;            // [B, P, 2] in pixels, NaN: missing
  std::vector<double> eye_distance_px;  // [B], of the picture before its changes, which keep it
};

// Pictures without a known point are left out and listed among the rejections.
class KeypointsSet : public ExampleSet {
 public:
  KeypointsSet(const images::FaceRecords& records, const images::FaceAugmentOptions& augment, uint64_t seed);
  KeypointsSet(const KeypointsSet&) = delete;  // its dataset points to it
  KeypointsSet& operator=(const KeypointsSet&) = delete;

  std::unique_ptr<Batch> load(const MicroBatch& plan, const std::stop_token& stop) const override;
  std::unique_ptr<Batch> load_plain(const MicroBatch& plan, const std::stop_token& stop) const override;

  // In the order of the dataset; `domain` counts domains without a picture, too.
  const images::FaceRecords& records() const { return records_; }

 private:
  std::unique_ptr<Batch> loaded(const MicroBatch& plan, const std::stop_token& stop, bool is_augmented) const;
  void add_picture(FaceBatch& batch, const Draw& draw, bool is_augmented) const;
  void describe();

  images::FaceRecords records_;
  images::FaceAugmentOptions augment_;
  RandomKey augment_key_;
};

// Of ids, pixels, points and domains: what is learned from. SHA-256.
std::string content_hash(const images::FaceRecords& records);

}  // namespace rehearse::keypoints
