// A whole task in one file, as a user would write one: points (u, v) in the plane and a height z = a u + b v + c that a
// linear layer learns. Its files hold a line "DOMAIN u v z" per example. No file of the trainer knows of it.
#include <cmath>
#include <fstream>
#include <sstream>

#include "models/torch_prelude.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/registry.h"
#include "trainer/tasks/task.h"

namespace rehearse {
namespace {

enum Sum : size_t { kErrorSum, kExamples };
enum ScoreSum : size_t { kScoredError, kScored, kSquares };

TaskTerms terms() {
  TaskTerms terms;
  terms.task = "plane";
  terms.example = "point";
  terms.examples = "points";
  terms.error_title = "miss";
  terms.loss_key = "squared_miss";
  terms.size_unit = "points";
  terms.ratios = {
      {.key = "miss", .title = "miss", .numerator = kErrorSum, .denominator = kExamples, .is_in_line = true}};
  terms.scores = {{.key = "miss", .title = "miss", .numerator = kScoredError, .denominator = kScored},
                  {.key = "mse",
                   .title = "MSE",
                   .numerator = kSquares,
                   .denominator = kScored,
                   .is_percent = false,
                   .numerator_key = "squared_miss"}};
  return terms;
}
REHEARSE_TERMS(terms);

struct Point {
  std::string domain;
  float u = 0, v = 0, z = 0;
};

struct Points : Batch {
  std::vector<float> input, height;  // [B, 2], [B]
};

class PointSet : public ExampleSet {
 public:
  explicit PointSet(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw DataError(path, ": expected a file of points; found none");
    for (std::string line; std::getline(file, line);) {
      Point point;
      std::istringstream words(line);
      if (!(words >> point.domain >> point.u >> point.v >> point.z))
        throw DataError(path, ": expected DOMAIN u v z; found \"", line, "\"");
      add(point);
    }
    if (points_.empty()) throw DataError(path, ": expected at least one point; found none");
    dataset.total_cost = static_cast<double>(points_.size());
    dataset.name_of = [this](uint32_t n) { return concat("point ", dataset.ids[n]); };
    dataset.hash = [this] { return sha256_of(std::as_bytes(std::span(text_))); };
  }
  std::unique_ptr<Batch> load(const MicroBatch& plan, const std::stop_token& stop) const override {
    return load_plain(plan, stop);
  }
  std::unique_ptr<Batch> load_plain(const MicroBatch& plan, const std::stop_token&) const override {
    auto batch = std::make_unique<Points>();
    batch->draws = plan.draws;
    batch->positions = plan.positions;
    for (const Draw& draw : plan.draws) {
      const Point& point = points_.at(draw.utterance);
      batch->input.insert(batch->input.end(), {point.u, point.v});
      batch->height.push_back(point.z);
      batch->ids.push_back(dataset.ids[draw.utterance]);
      batch->weights.push_back(draw.is_learned ? 1.0f : 0.0f);
      batch->failures.emplace_back();
    }
    return batch;
  }

 private:
  // The file is sorted by domain.
  void add(const Point& point) {
    if (dataset.domains.empty() || dataset.domains.back() != point.domain) dataset.domains.push_back(point.domain);
    dataset.domain.push_back(static_cast<uint32_t>(dataset.domains.size() - 1));
    dataset.ids.push_back(points_.size());
    dataset.cost.push_back(1.0f);
    text_ += concat(point.domain, " ", point.u, " ", point.v, " ", point.z, "\n");
    points_.push_back(point);
  }
  std::vector<Point> points_;
  std::string text_;
};

double miss(double answer, double height) {
  return std::isfinite(answer) ? std::min(1.0, std::abs(answer - height)) : 1.0;
}

class PlaneTask : public Task {
 public:
  static constexpr const char* kExample = "{type: plane}";
  struct Options {
    double weight_scale = 0.1;
    static Options from(ConfigNode& node) { return {node.number("weight_scale", 0.1)}; }
  };
  PlaneTask(const Options& options, const Context& context)
      : root_(context.root),
        device_(context.device),
        store_(context.seed, at::TensorOptions().dtype(at::kFloat).device(context.device)),
        weight_(store_.weight("plane.weight", {1, 2}, 2, options.weight_scale)),
        shift_(store_.constant("plane.shift", {1}, 0)) {}

  const TaskTerms& terms() const override { return terms_of("plane"); }
  ParameterStore& store() override { return store_; }
  std::unique_ptr<ExampleSet> training_set() override { return set_of("train"); }
  std::unique_ptr<ExampleSet> validation_set() override { return set_of("valid"); }
  std::unique_ptr<ExampleSet> scored_set(const std::string& path) override { return std::make_unique<PointSet>(path); }

  TaskOutput forward(const Batch& any, const ForwardContext&) override {
    const auto& batch = static_cast<const Points&>(any);
    const at::Tensor answers = answer(batch);
    const at::Tensor weights = on_device(batch.weights);
    TaskOutput output;
    for (const float weight : batch.weights) output.normalizer += weight;
    if (output.normalizer > 0) output.loss_sum = ((answers - on_device(batch.height)).square() * weights).sum();
    output.pending = [answers = answers.detach(), height = batch.height, learned = batch.weights](TaskOutput& later) {
      const at::Tensor values = answers.cpu();
      for (size_t b = 0; b < height.size(); ++b) {
        ExampleResult& result = later.examples.emplace_back();
        const double value = values.const_data_ptr<float>()[b], difference = value - height[b];
        result.error = miss(value, height[b]);
        result.loss = difference * difference;
        result.cost = 1;
        later.sums[kErrorSum] += learned[b] * result.error;
        later.sums[kExamples] += learned[b];
      }
    };
    return output;
  }

  std::vector<ExampleScore> score(const ExampleSet&, const Batch& any, bool with_detail) override {
    const auto& batch = static_cast<const Points&>(any);
    const at::Tensor values = answer(batch).cpu();
    std::vector<ExampleScore> scores;
    for (size_t b = 0; b < batch.size(); ++b) {
      const double value = values.const_data_ptr<float>()[b], difference = value - batch.height[b];
      ExampleScore& score = scores.emplace_back();
      score.example = batch.draws[b].utterance;
      score.error = miss(value, batch.height[b]);
      score.loss = difference * difference;
      score.loss_units = 1;
      score.sums = {score.error, 1, score.loss};
      if (with_detail) score.detail = {{"answer", value}, {"height", batch.height[b]}};
    }
    return scores;
  }

 private:
  std::unique_ptr<ExampleSet> set_of(const char* key) const {
    const std::vector<std::string> files = ConfigNode(root_).child("data").texts(key, {});
    if (files.size() != 1) throw ConfigError("data.", key, ": expected one file of points; found ", files.size());
    return std::make_unique<PointSet>(files[0]);
  }
  at::Tensor on_device(const std::vector<float>& values) const {
    return at::from_blob(const_cast<float*>(values.data()), {static_cast<int64_t>(values.size())}, at::kFloat)
        .clone()
        .to(device_);
  }
  at::Tensor answer(const Points& batch) const {
    return at::linear(on_device(batch.input).view({-1, 2}), weight_, shift_).squeeze(1);
  }

  ConfigNode root_;
  at::Device device_;
  ParameterStore store_;
  at::Tensor weight_, shift_;
};

REHEARSE_REGISTER(Task, "plane", PlaneTask);

}  // namespace
}  // namespace rehearse
