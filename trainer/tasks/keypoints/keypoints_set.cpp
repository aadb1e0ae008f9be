#include "trainer/tasks/keypoints/keypoints_set.h"

#include <cmath>
#include <limits>

#include "data/images/scaling.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/tasks/keypoints/point_errors.h"

namespace rehearse::keypoints {
namespace {

bool has_known_point(std::span<const float> points) {
  for (const float value : points)
    if (!std::isnan(value)) return true;
  return false;
}

// SHA-256 over any number of bytes: a chain over pieces of bounded size.
class HashChain {
 public:
  template <class T>
  void add(std::span<const T> values) {
    piece_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
    if (piece_.size() >= kPieceBytes) fold();
  }
  void add(const std::string& text) {
    const uint64_t size = text.size();
    add(std::span(&size, 1));
    add(std::span(text.data(), text.size()));
  }
  std::string digest() {
    fold();
    return digest_;
  }

 private:
  static constexpr size_t kPieceBytes = 1 << 20;

  void fold() {
    piece_.insert(0, digest_);
    digest_ = sha256_of(std::as_bytes(std::span(piece_)));
    piece_.clear();
  }

  std::string piece_, digest_ = "rehearse-keypoints 1";
};

}  // namespace

std::string FaceBatch::size_text() const {
  return concat(size(), " pictures of ", width, " x ", height);
}

std::vector<Batch::Measure> FaceBatch::measures() const {
  return {{"pictures", static_cast<double>(size())}};
}

KeypointsSet::KeypointsSet(const images::FaceRecords& records, const images::FaceAugmentOptions& augment, uint64_t seed)
    : augment_(augment), augment_key_(RandomKey(seed).with("augment")) {
  std::vector<size_t> rows;
  for (size_t n = 0; n < records.size(); ++n) {
    if (has_known_point(records.points_of(n)))
      rows.push_back(n);
    else
      dataset.rejections.push_back({records.source[n], records.domains[records.domain[n]], "no known point"});
  }
  records_ = images::chosen(records, rows);
  describe();
}

void KeypointsSet::describe() {
  for (const uint32_t domain : records_.domain) {
    const std::string& name = records_.domains[domain];
    if (dataset.domains.empty() || dataset.domains.back() != name) dataset.domains.push_back(name);
    dataset.domain.push_back(static_cast<uint32_t>(dataset.domains.size() - 1));
  }
  dataset.ids = records_.id;
  dataset.cost.assign(records_.size(), 1.0f);
  dataset.total_cost = static_cast<double>(records_.size());
  dataset.name_of = [this](uint32_t index) { return records_.source.at(index); };
  dataset.hash = [this] { return content_hash(records_); };
}

std::unique_ptr<Batch> KeypointsSet::load(const MicroBatch& plan, const std::stop_token& stop) const {
  return loaded(plan, stop, /*is_augmented=*/true);
}

std::unique_ptr<Batch> KeypointsSet::load_plain(const MicroBatch& plan, const std::stop_token& stop) const {
  return loaded(plan, stop, /*is_augmented=*/false);
}

std::unique_ptr<Batch> KeypointsSet::loaded(const MicroBatch& plan, const std::stop_token& stop,
                                            bool is_augmented) const {
  auto batch = std::make_unique<FaceBatch>();
  batch->width = records_.layout.width;
  batch->height = records_.layout.height;
  batch->draws = plan.draws;
  batch->positions = plan.positions;
  for (const Draw& draw : plan.draws) {
    if (stop.stop_requested()) break;
    add_picture(*batch, draw, is_augmented);
  }
  return batch;
}

void KeypointsSet::add_picture(FaceBatch& batch, const Draw& draw, bool is_augmented) const {
  const images::FaceLayout& layout = records_.layout;
  const uint64_t id = records_.id.at(draw.utterance);
  const std::span<const uint8_t> stored_pixels = records_.pixels_of(draw.utterance);
  const std::span<const float> stored_points = records_.points_of(draw.utterance);
  std::vector<uint8_t> pixels(stored_pixels.begin(), stored_pixels.end());
  std::vector<float> points(stored_points.begin(), stored_points.end());
  if (is_augmented) images::augment_face(layout, augment_, augment_key_.with(id).with(draw.visit), pixels, points);

  const size_t row = batch.ids.size(), num_points = layout.num_points();
  batch.x.resize((row + 1) * layout.num_pixels());
  batch.targets.resize((row + 1) * 2 * num_points);
  std::vector<float> weights(num_points);
  images::scale_pixels(pixels, std::span(batch.x).last(layout.num_pixels()));
  images::scale_points(layout, points, std::span(batch.targets).last(2 * num_points), weights);
  for (const float weight : weights) batch.known.insert(batch.known.end(), 2, weight);
  batch.points.insert(batch.points.end(), points.begin(), points.end());
  batch.eye_distance_px.push_back(eye_distance_px(layout, stored_points));
  batch.ids.push_back(id);
  batch.weights.push_back(draw.is_learned ? 1.0f : 0.0f);
  batch.failures.emplace_back();
}

std::string content_hash(const images::FaceRecords& records) {
  HashChain chain;
  const uint64_t sizes[] = {static_cast<uint64_t>(records.layout.width), static_cast<uint64_t>(records.layout.height),
                            records.layout.num_points(), records.size()};
  chain.add(std::span<const uint64_t>(sizes));
  for (const std::string& name : records.layout.point_names) chain.add(name);
  for (size_t n = 0; n < records.size(); ++n) {
    chain.add(records.domains[records.domain[n]]);
    chain.add(std::span<const uint64_t>(&records.id[n], 1));
    chain.add(records.pixels_of(n));
    for (float value : records.points_of(n)) {
      if (std::isnan(value)) value = std::numeric_limits<float>::quiet_NaN();  // of which there are many
      chain.add(std::span<const float>(&value, 1));
    }
  }
  return chain.digest();
}

}  // namespace rehearse::keypoints
