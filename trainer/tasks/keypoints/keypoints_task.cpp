#include "trainer/tasks/keypoints/keypoints_task.h"

#include <algorithm>
#include <chrono>

#include "data/images/scaling.h"
#include "models/ops/host_copy.h"
#include "models/torch_prelude.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"
#include "trainer/tasks/keypoints/faces_json.h"
#include "trainer/tasks/keypoints/keypoints_sums.h"
#include "trainer/tasks/keypoints/point_errors.h"
#include "trainer/tasks/keypoints/point_figures.h"

namespace rehearse::keypoints {
namespace {

constexpr size_t kPredictedAtOnce = 64;  // pictures
constexpr double kWorstSquare = 4;       // of a coordinate that is no number: the whole picture away

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A picture whose rows are read as if it were narrower would be convolved all the same.
void expect_width(ConfigNode model, const images::FaceLayout& layout) {
  std::vector<ConfigNode> blocks = model.children("blocks");
  if (blocks.empty() || !blocks[0].has("width")) return;
  const int64_t width = blocks[0].required_integer("width");
  if (width != layout.width)
    blocks[0].fail("width", concat("expected that of the pictures, ", layout.width, "; found ", width));
}

AcousticModel::Context model_context(const Task::Context& context, const images::FaceLayout& layout) {
  expect_width(ConfigNode(context.root).child("model"), layout);
  AcousticModel::Context model;
  model.input_channels = layout.width;
  model.num_classes = static_cast<int64_t>(2 * layout.num_points());
  model.seed = context.seed;
  model.options = at::TensorOptions().dtype(at::kFloat).device(context.device);
  model.all_reduce_sum = context.all_reduce_sum;
  return model;
}

void expect_one_frame(const AcousticModel& model, ConfigNode root, const images::FaceLayout& layout) {
  const int64_t frames = model.output_length(layout.height);
  if (frames == 1) return;
  const std::string remedy =
      frames > 1 ? concat("let the first dense block take all of them: {type: dense, frames: ", frames, "}")
                 : std::string("let fewer rows be pooled away");
  root.child("model").fail("blocks", concat("expected one frame behind the last block for pictures of ", layout.height,
                                            " rows; found ", frames, "; ", remedy));
}

// A picture of a training batch, predicted.
struct Answer {
  std::span<const float> predicted;  // [P, 2], scaled
  std::span<const float> points;     // [P, 2], in pixels
  double eye_distance_px = 1;
  bool is_learned = true;
};

void add_result(const images::FaceLayout& layout, const Answer& answer, TaskOutput& output) {
  const PointErrors errors = point_errors(layout, answer.predicted, answer.points, answer.eye_distance_px);
  ExampleResult& result = output.examples.emplace_back();
  result.error = errors.error;
  result.loss = errors.squares;
  result.cost = 1;
  result.is_infeasible = errors.num_known == 0;
  if (!answer.is_learned || errors.num_known == 0) return;
  output.sums[kErrors] += errors.error;
  output.sums[kPictures] += 1;
  output.sums[kPointsWithin10] += static_cast<double>(errors.num_within_10);
  output.sums[kPoints] += static_cast<double>(errors.num_known);
}

}  // namespace

KeypointsTask::Options KeypointsTask::Options::from(ConfigNode& node) {
  ConfigNode augment = node.child("augment");
  return {images::FaceAugmentOptions::from(augment)};
}

KeypointsTask::KeypointsTask(const Options& options, const Context& context)
    : augment_(options.augment),
      seed_(context.seed),
      device_(context.device),
      train_(ConfigNode(context.root).child("data").texts("train", {})),
      valid_(ConfigNode(context.root).child("data").texts("valid", {})),
      training_records_(context.checkpoint != nullptr ? std::nullopt : std::optional(read_training(train_))),
      layout_(context.checkpoint != nullptr ? stored_layout(*context.checkpoint) : training_records_->layout),
      model_(ConfigNode(context.root).child("model"), model_context(context, layout_)) {
  expect_one_frame(model_, context.root, layout_);
}

const TaskTerms& KeypointsTask::terms() const {
  return terms_of("keypoints");
}

// [B, 2 P], -1 to 1 across the picture.
at::Tensor KeypointsTask::coordinates(const std::vector<float>& x, const ForwardContext& context) {
  const int64_t height = layout_.height, width = layout_.width;
  const int64_t size = static_cast<int64_t>(x.size()) / (height * width);
  // A copy: the backward pass reads it when the batch may be gone.
  at::Tensor pictures = at::from_blob(const_cast<float*>(x.data()), {size, height, width}, at::kFloat).clone();
  if (!device_.is_cpu()) pictures = pictures.pin_memory().to(device_, /*non_blocking=*/true);
  const std::vector<int64_t> lengths(static_cast<size_t>(size), height);
  return model_.forward({pictures, lengths}, context).x.squeeze(1);
}

TaskOutput KeypointsTask::forward(const Batch& any, const ForwardContext& context) {
  const auto& batch = static_cast<const FaceBatch&>(any);
  const at::Tensor predicted = coordinates(batch.x, context);
  const double start = now_s();
  const size_t row = 2 * layout_.num_points();
  std::vector<float> mask = batch.known;  // [B, 2 P]
  std::vector<bool> is_learned;
  for (size_t b = 0; b < batch.size(); ++b) {
    is_learned.push_back(batch.weights[b] > 0 && batch.failures[b].empty());
    if (!is_learned[b]) std::fill_n(mask.begin() + static_cast<std::ptrdiff_t>(b * row), row, 0.0f);
  }
  TaskOutput output;
  for (const float known : mask) output.normalizer += known;
  if (output.normalizer > 0) {
    const auto on_device = [&](const std::vector<float>& values) {
      return at::from_blob(const_cast<float*>(values.data()), predicted.sizes(), at::kFloat).clone().to(device_);
    };
    output.loss_sum = ((predicted - on_device(batch.targets)) * on_device(mask)).square().sum();
  }
  output.pending = [this, copy = std::make_shared<HostCopy>(predicted.detach()), points = batch.points,
                    eyes = batch.eye_distance_px, is_learned = std::move(is_learned)](TaskOutput& later) mutable {
    const at::Tensor values = copy->read().contiguous();
    const std::span<const float> all(values.const_data_ptr<float>(), static_cast<size_t>(values.numel()));
    const size_t row = 2 * layout_.num_points();
    for (size_t b = 0; b < eyes.size(); ++b)
      add_result(layout_, {all.subspan(b * row, row), std::span(points).subspan(b * row, row), eyes[b], is_learned[b]},
                 later);
  };
  output.loss_seconds = now_s() - start;
  return output;
}

std::vector<ExampleScore> KeypointsTask::score(const ExampleSet&, const Batch& any, bool with_detail) {
  const auto& batch = static_cast<const FaceBatch&>(any);
  const at::Tensor predicted = coordinates(batch.x, {}).cpu().contiguous();
  const size_t row = 2 * layout_.num_points();
  std::vector<ExampleScore> scores;
  for (size_t b = 0; b < batch.size(); ++b) {
    const std::span<const float> answer(predicted.const_data_ptr<float>() + b * row, row);
    const std::span<const float> points = std::span(batch.points).subspan(b * row, row);
    const PointErrors errors = point_errors(layout_, answer, points, batch.eye_distance_px[b]);
    ExampleScore& score = scores.emplace_back();
    score.example = batch.draws[b].utterance;
    score.error = errors.error;
    score.loss_units = 2.0 * static_cast<double>(errors.num_known);
    score.loss = errors.is_finite ? errors.squares : kWorstSquare * score.loss_units;
    score.is_empty = !errors.is_finite;
    score.sums.assign(kNumScoreSums, 0.0);
    score.sums[kScoreError] = errors.error;
    score.sums[kScorePictures] = 1;
    score.sums[kScoreSquares] = score.loss;
    score.sums[kScoreCoordinates] = score.loss_units;
    score.sums[kScoreWithin5] = static_cast<double>(errors.num_within_5);
    score.sums[kScoreWithin10] = static_cast<double>(errors.num_within_10);
    score.sums[kScorePoints] = static_cast<double>(errors.num_known);
    if (with_detail) score.detail = point_detail(layout_, answer, points, errors);
  }
  return scores;
}

std::vector<float> KeypointsTask::predict(std::span<const uint8_t> pixels) {
  const size_t num_pixels = layout_.num_pixels(), row = 2 * layout_.num_points();
  const size_t count = pixels.size() / num_pixels;
  std::vector<float> points(count * row);
  for (size_t first = 0; first < count; first += kPredictedAtOnce) {
    const size_t size = std::min(kPredictedAtOnce, count - first);
    std::vector<float> x(size * num_pixels);
    images::scale_pixels(pixels.subspan(first * num_pixels, x.size()), x);
    const at::NoGradGuard no_gradients;
    const at::Tensor predicted = coordinates(x, {}).cpu().contiguous();
    for (size_t n = 0; n < size; ++n)
      images::unscale_points(layout_, {predicted.const_data_ptr<float>() + n * row, row},
                             std::span(points).subspan((first + n) * row, row));
  }
  return points;
}

REHEARSE_REGISTER(Task, "keypoints", KeypointsTask);

}  // namespace rehearse::keypoints
