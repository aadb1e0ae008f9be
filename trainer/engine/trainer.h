// The training loop: plan, load, forward and backward, reduce, update, observe; then log, validate, save, stop.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/loader/loader.h"
#include "models/ops/mixed_ops.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/comm/communicator.h"
#include "trainer/engine/evaluate/evaluator.h"
#include "trainer/engine/exchange/reducer.h"
#include "trainer/engine/guards/bad_files.h"
#include "trainer/engine/model.h"
#include "trainer/engine/run_options.h"
#include "trainer/engine/step_source.h"
#include "trainer/engine/step_tally.h"
#include "trainer/engine/update/optimizer.h"
#include "trainer/engine/update/schedule.h"
#include "trainer/engine/update/update.h"
#include "trainer/observe/observation_log.h"
#include "trainer/observe/profile.h"
#include "trainer/observe/run_log.h"

namespace rehearse {

// What the loop works with; all outlive it.
struct TrainerParts {
  const RunOptions& options;
  Model& model;
  const ExampleSet& training;
  const ExampleSet* validation = nullptr;  // null: none
  Sampler& sampler;
  BatchPlanner& planner;
  Optimizer& optimizer;
  Schedule& schedule;
  Communicator& communicator;
  RunLog& run_log;
  ObservationWriter* observation_log = nullptr;     // rank 0, when asked for
  const ObservationReplay* observations = nullptr;  // another run's, in place of one's own
  std::map<std::string, std::string> files;         // that go into every checkpoint
  nlohmann::json facts;                             // versions, threads, hash, old runs: into state.json
  Profile* profile = nullptr;                       // null: none is made
};

// One run. All ranks do the same; what differs is in the micro-batches they take.
class Trainer {
 public:
  explicit Trainer(const TrainerParts& parts);
  // DataError where its content is damaged; another one may be loaded then.
  void load(const LoadedCheckpoint& checkpoint);
  // Of rank 0, where observations are logged.
  void write_observations(ObservationWriter& log) { parts_.observation_log = &log; }
  // Nothing is left to train: the budget is spent, or the run had stopped early.
  bool is_done() const;
  // A sentence that says so, and what to raise.
  std::string why_done() const;
  // Until the budget is spent or a stop is requested; returns an exit code.
  int run();

 private:
  struct Phases : PhaseSeconds {};
  // Everything a checkpoint holds besides weights, optimizer and sampler.
  struct Progress {
    uint64_t step = 0;     // completed
    uint64_t updates = 0;  // applied
    uint64_t skipped = 0;
    uint64_t not_finite_in_row = 0;      // updates left out, up to the last step
    std::optional<uint64_t> sound_step;  // the last save whose latest update was applied
    uint64_t draws = 0;
    double cost = 0;
    double elapsed_s = 0;  // of training, over all resumes, as rank 0 measured it
    double best = -1;      // negative: none yet
    int64_t validations_without_gain = 0;
    double last_validation_s = 0;
    double last_save_s = 0;
    uint64_t last_saved_step = 0;
    std::optional<uint64_t> validated_step;
  };

  TraceLane* lane() const { return parts_.profile ? parts_.profile->lane() : nullptr; }
  double budget_share() const;
  bool has_stopped_early() const;
  void prefetch();
  void push(const StepPlan& plan);
  StepPlan plan_step();
  void run_step();
  void run_micro_batch(bool is_last);
  void reduce();
  void record_observations(const Batch& batch, const TaskOutput& output);
  const Dataset& dataset() const { return parts_.training.dataset; }
  const TaskTerms& terms() const { return parts_.model.task().terms(); }
  void estimate_draws();
  void make_reducer();
  void adopt_ready_order();
  void apply_update(const StepTally& total, double gradient_squares);
  bool is_last_try() const;
  std::string own_not_finite();
  [[noreturn]] void end_left_out();
  void gather_observations(uint64_t step, bool in_warmup);
  void report_files(const std::vector<Observation>& observations);
  void log_step(bool is_last);
  void log_sampler();
  StepSummary summarize() const;
  void validate();
  void save(bool is_best = false);
  CheckpointContents contents_of(const Update::Average& host_weights) const;
  std::vector<uint64_t> expect_sound(const Update::Average& host_weights,
                                     const std::vector<Update::NamedValues>& own_state);
  void expect_whole(const std::vector<TensorSpan>& state, const std::vector<uint64_t>& shard_digests) const;
  void finish_saving();
  void report_saves();
  void compare_checksums();
  void report_cost();
  void report_quarantine();
  ValidationMetrics metrics_of(const std::vector<ExampleScore>& scores) const;
  void report_unreadable(const std::vector<ExampleScore>& scores);
  bool is_due(int64_t every_steps, double every_minutes, double last_s) const;
  void finish_run();

  TrainerParts parts_;
  BadFiles bad_files_;
  std::map<uint32_t, std::string> reasons_;  // of the files that this rank could not read
  StepSource source_;
  Update update_;
  RoundedWeights rounded_weights_;
  std::unique_ptr<Reducer> reducer_;
  bool has_order_ = false;  // the arena lies in ready order
  std::unique_ptr<Loader> loader_;
  FileLayer files_;
  std::unique_ptr<CheckpointWriter> writer_;  // rank 0 only
  Progress progress_;
  double start_elapsed_s_ = 0;  // elapsed_s when this process began
  double start_clock_ = 0;
  std::set<std::string> warnings_;  // of the sampler, said already
  bool has_said_infeasible_ = false;
  StepTally tally_;      // this rank, this step
  StepTally since_log_;  // all ranks
  StepTally last_total_;
  Phases phases_;           // this rank since the last line
  std::string not_finite_;  // of this rank before ranks added their gradients, at the last try
  double last_log_elapsed_s_ = 0;
  double gradient_norm_ = 0;
  double lr_ = 0;
  std::vector<std::byte> observations_;  // of this rank, packed
};

}  // namespace rehearse
