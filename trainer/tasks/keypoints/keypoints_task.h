// Points of faces: mean squared error of coordinates, regressed by one frame behind the last block.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/acoustic_model.h"
#include "trainer/tasks/keypoints/keypoints_set.h"
#include "trainer/tasks/task.h"

namespace rehearse::keypoints {

// Size and points of the pictures that a checkpoint was trained on. DataError when it does not say.
images::FaceLayout stored_layout(const LoadedCheckpoint& checkpoint);

// Of `data.train`; ConfigError when it names none.
images::FaceRecords read_training(const std::vector<std::string>& paths);

// Reads `task.augment`, `data.train`, `data.valid` and `model`. Size and points come from the checkpoint, or else from
// the training files, which are read at once.
class KeypointsTask : public Task {
 public:
  static constexpr const char* kExample = "{type: keypoints}";
  struct Options {
    images::FaceAugmentOptions augment;
    static Options from(ConfigNode& node);
  };

  KeypointsTask(const Options& options, const Context& context);

  const TaskTerms& terms() const override;
  ParameterStore& store() override { return model_.store(); }
  TaskOutput forward(const Batch& batch, const ForwardContext& context) override;
  std::vector<ExampleScore> score(const ExampleSet& set, const Batch& batch, bool with_detail) override;

  std::unique_ptr<ExampleSet> training_set() override;
  std::unique_ptr<ExampleSet> validation_set() override;
  std::unique_ptr<ExampleSet> scored_set(const std::string& path) override;
  std::vector<std::pair<uint64_t, std::string>> training_ids() override;

  std::map<std::string, std::string> files() const override;
  nlohmann::json facts() const override;
  std::optional<RowMap> adopt(const LoadedCheckpoint& checkpoint) override;

  std::vector<Remark> start_remarks(const ExampleSet& training, const ExampleSet* validation, uint64_t parameters,
                                    nlohmann::json& line) override;
  std::string detail_table(const std::vector<ScoredDetails>& sets) const override;
  bool draws_pictures() const override { return true; }
  std::string picture(const ExampleSet& set, const ExampleScore& score) override;
  std::vector<std::vector<std::string>> describe() const override;
  std::string describe_note() const override;
  std::optional<Probe> probe(const ProbeRequest& request) override;
  bool examine(Findings& findings, int threads, const std::string& list_path) override;

  const images::FaceLayout& layout() const { return layout_; }
  // pixels [N, H, W] of the layout's size -> points [N, P, 2] in its pixels.
  std::vector<float> predict(std::span<const uint8_t> pixels);

 private:
  at::Tensor coordinates(const std::vector<float>& x, const ForwardContext& context);
  images::FaceRecords read(const std::vector<std::string>& paths, const char* key) const;
  const images::FaceRecords& training_records();
  std::unique_ptr<ExampleSet> set_of(const images::FaceRecords& records, const std::string& where) const;

  images::FaceAugmentOptions augment_;
  uint64_t seed_;
  at::Device device_;
  std::vector<std::string> train_, valid_;
  std::optional<images::FaceRecords> training_records_;  // until a set is made of them
  images::FaceLayout layout_;
  AcousticModel model_;
};

}  // namespace rehearse::keypoints
