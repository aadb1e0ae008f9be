// What is learned. A task is a folder beside this file: it knows its examples, its model and its loss, and what is an
// error; engine, sampler and report know none of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "data/loader/batch.h"
#include "models/block.h"
#include "trainer/base/config/config.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/observe/terms.h"

namespace rehearse {

using TaskSums = std::array<double, kMaxTaskSums>;  // in the order of RatioTerm's indices

// What one example of a training batch came to.
struct ExampleResult {
  double error = 1;            // in [0, 1]; the sampler's measure
  double loss = 0;             // added up where the example has weight
  double cost = 0;             // as loaded, after augmentation: the unit of Dataset::cost
  bool is_infeasible = false;  // as drawn nothing could be learned from it
  std::string unusable;        // why nothing ever can be; empty: it can
};

// Sum over the batch's learned examples; the trainer divides by the normaliser summed over all ranks.
struct TaskOutput {
  at::Tensor loss_sum;                  // scalar with a graph; undefined when nothing is learned
  double normalizer = 0;                // of the loss: tokens, pictures
  double loss_seconds = 0;              // of the forward call, spent behind the model
  std::vector<ExampleResult> examples;  // [B], after collect()
  TaskSums sums{};                      // after collect()

  // A device computes on while the host goes ahead: results are there after this, which waits for them. To be called
  // once backward has been launched, or at once where nothing is learned.
  void collect() {
    if (const auto waiting = std::exchange(pending, nullptr)) waiting(*this);
  }
  std::function<void(TaskOutput&)> pending;
};

// One example, scored without augmentation and dropout.
struct ExampleScore {
  uint32_t example = 0;      // in the dataset
  std::vector<double> sums;  // in the order of ScoreTerm's and CountTerm's indices
  double error = 1;          // in [0, 1]
  double loss = 0, loss_units = 0;
  bool is_empty = false;  // the model's answer is none
  std::string failure;    // of loading; the sums are then those of a wrong answer
  nlohmann::json detail;  // object: what a file of answers says about it; null where nobody asked
};

// Examples of one source with their content. Immutable once built; loads on several threads at once.
struct ExampleSet {
  virtual ~ExampleSet() = default;
  Dataset dataset;
  // As training takes it: augmented, and a function of the run's seed and the draws alone.
  virtual std::unique_ptr<Batch> load(const MicroBatch& plan, const std::stop_token& stop) const = 0;
  // As it is, for scoring.
  virtual std::unique_ptr<Batch> load_plain(const MicroBatch& plan, const std::stop_token& stop) const = 0;
};

// A line about data or progress for people.
struct Remark {
  enum Level { kDetail, kInfo, kWarning };
  Level level = kInfo;
  std::string text;
};

// What doctor hears of a task's examination.
class Findings {
 public:
  virtual ~Findings() = default;
  virtual void title(const std::string& text) = 0;
  virtual void text(const std::string& lines) = 0;
  virtual void warn(const std::string& line) = 0;
  virtual void refuse(int exit_code, const std::string& line) = 0;
};

// What a task's model is looked at with: a batch of noise in the shape of its examples.
struct ProbeRequest {
  int64_t batch = 0;              // 0: as many examples as `budget` holds, at least one
  double budget = 1;              // the unit of Dataset::cost
  std::optional<double> seconds;  // of an example; ConfigError where examples have no duration
};
struct Probe {
  class AcousticModel* model = nullptr;             // the task's own
  Sequence input;                                   // of its first block, [B, T, C]
  std::function<at::Tensor(const Sequence&)> loss;  // summed, of what its head gives
  // An evaluation of the same batch from what the task is given (samples, pixels): [B, T', V]. Records what the
  // caller's gradient mode says.
  std::function<at::Tensor(Precision)> answer;
  double cost = 1;      // of one example
  double frame_ms = 0;  // between frames of `input`; 0: they are no time
};

// Which rows of the parameters below `prefix` a model with another output takes from a checkpoint.
struct RowMap {
  std::string prefix;
  int64_t own_rows = 0, old_rows = 0;
  std::vector<std::pair<int64_t, int64_t>> rows;  // own, old
  std::string said;                               // for the log
};

// Plug-in ("ctc"), chosen by `task.type`; its other keys are where it likes. Used from the training thread.
class Task {
 public:
  struct Context {
    ConfigNode root;  // of the run's configuration, or of the checkpoint's
    uint64_t seed = 1;
    AllReduceSum all_reduce_sum;
    at::Device device = at::kCPU;
    const LoadedCheckpoint* checkpoint = nullptr;  // whose files() it is built from; null: from the configuration's
  };
  virtual ~Task() = default;
  virtual const TaskTerms& terms() const = 0;

  // Model and loss.
  virtual ParameterStore& store() = 0;
  virtual TaskOutput forward(const Batch& batch, const ForwardContext& context) = 0;
  // Of a batch from load_plain(), without gradients. with_detail: for a file of answers.
  virtual std::vector<ExampleScore> score(const ExampleSet& set, const Batch& batch, bool with_detail) = 0;
  // Whether an example of this cost is scored in a batch of its own.
  virtual bool is_scored_alone(double /*cost*/) const { return false; }

  // Data, as the configuration names it. ConfigError or DataError where nothing can be used.
  virtual std::unique_ptr<ExampleSet> training_set() = 0;
  virtual std::unique_ptr<ExampleSet> validation_set() = 0;  // null: none
  // All of one file that `evaluate --manifest` names.
  virtual std::unique_ptr<ExampleSet> scored_set(const std::string& path) = 0;
  // Stable id and domain of what data.train holds now, as far as it is there: for checkpoints that keep no list.
  virtual std::vector<std::pair<uint64_t, std::string>> training_ids() { return {}; }

  // Checkpoints: files that the model is used with, and facts that a later start compares.
  virtual std::map<std::string, std::string> files() const { return {}; }
  virtual nlohmann::json facts() const { return nlohmann::json::object(); }
  // For fine-tuning: ConfigError where the checkpoint's facts do not fit; a map where its output is another.
  virtual std::optional<RowMap> adopt(const LoadedCheckpoint& /*checkpoint*/) { return std::nullopt; }

  // Rank 0, at the start: what people should know, given what there is to learn from and the number of parameters; what
  // goes into the start line of metrics.jsonl is added to the object `line`.
  virtual std::vector<Remark> start_remarks(const ExampleSet& /*training*/, const ExampleSet* /*validation*/,
                                            uint64_t /*parameters*/, nlohmann::json& /*line*/) {
    return {};
  }
  // Fed with the task's sums of every update; what is to be said now, or nothing.
  virtual std::string watch(const TaskSums& /*sums*/) { return ""; }
  virtual std::vector<std::string> remarks_on(const std::vector<ExampleScore>& /*scores*/) { return {}; }
  virtual std::string closing_remark() { return ""; }
  // A PNG of an example with its answer, scored with detail: for the report and TensorBoard.
  virtual bool draws_pictures() const { return false; }
  virtual std::string picture(const ExampleSet& /*set*/, const ExampleScore& /*score*/) { return ""; }

  // Evaluations: what stands behind the checkpoint's name ("text normalised by basic/2") and below the table.
  virtual std::string scoring_note() const { return ""; }
  virtual nlohmann::json scoring_facts() const { return nlohmann::json::object(); }
  virtual std::vector<std::string> notes_on(const ExampleSet& /*set*/) { return {}; }
  // A table of its own behind that of the scores, from what ExampleScore::detail says of each scored set; empty: none.
  struct ScoredDetails {
    std::string domain;
    std::vector<const nlohmann::json*> details;
  };
  virtual std::string detail_table(const std::vector<ScoredDetails>& /*sets*/) const { return ""; }

  // Doctor: rows "block, type, input length, output length, channels, parameters", and what is wrong with the data
  // (false: nothing can be trained on). `list_path`: where all findings go; empty: nowhere.
  virtual std::vector<std::vector<std::string>> describe() const { return {}; }
  virtual std::string describe_note() const { return ""; }
  virtual bool examine(Findings& /*findings*/, int /*threads*/, const std::string& /*list_path*/) { return true; }
  // For `rehearse model` and `bench infer`; nothing: the task's model is not one of blocks. On the CPU.
  // From here on no weight of the model changes: answers may keep what they make of weights.
  virtual void keep_weights() {}
  virtual std::optional<Probe> probe(const ProbeRequest& /*request*/) { return std::nullopt; }
  // Where the model does not suit what is to be learned, whatever the machine.
  virtual std::vector<std::string> model_doubts() { return {}; }
  virtual void judge_learning(const ExampleSet& /*training*/, uint64_t /*parameters*/, Findings& /*findings*/) {}
};

}  // namespace rehearse
