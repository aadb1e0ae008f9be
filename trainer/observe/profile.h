// `--profile N`: a picture of N steps on each rank, RUN/profile/rank-R.json, and what it says about communication.
#pragma once

#include "trainer/base/files.h"
#include "trainer/base/trace.h"

namespace rehearse {

// Used from the training thread.
class Profile {
 public:
  // Steps of a fresh process are slow (caches, threads): these are left out when the run is long enough.
  static constexpr uint64_t kSkippedSteps = 20;
  struct Options {
    fs::path run_folder;
    int rank = 0;
    int size = 1;
    uint64_t num_steps = 0;
  };
  // `trace` outlives it.
  Profile(const Options& options, Trace& trace) : options_(options), trace_(trace), lane_(trace.lane("training")) {}

  TraceLane* lane() { return &lane_; }
  // Before every step. Once all steps are there it writes the file and returns a line for the log, else nothing.
  std::string begin_step(uint64_t step);
  // The run is over: writes what there is of a shorter run; its line, or nothing when that was done before.
  std::string finish();

 private:
  std::string write(uint64_t first, uint64_t end);

  Options options_;
  Trace& trace_;
  TraceLane& lane_;
  bool has_begun_ = false;
  bool is_written_ = false;
  uint64_t first_step_ = 0;
  uint64_t step_ = 0;
};

// Seconds of the gradients' all-reduces, and of them those in which the training thread stood in "communication wait".
struct Overlap {
  double collectives_s = 0;
  double waited_s = 0;
  // Share that was hidden behind other work; negative: there was nothing to hide.
  double hidden_share() const { return collectives_s > 0 ? 1 - waited_s / collectives_s : -1; }
};
Overlap overlap_of(const std::vector<TraceEvent>& training, const std::vector<TraceEvent>& communication);

// Adds the life of its scope to a phase's seconds and draws it.
class PhaseTimer {
 public:
  PhaseTimer(TraceLane* lane, const char* name, double& seconds);
  ~PhaseTimer();
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  // What is left of the scope, and `last_s` before now, belongs to another phase.
  void split(const char* name, double& seconds, double last_s);

 private:
  void add(double end_s);

  TraceLane* lane_;  // null when nothing is recorded
  const char* name_;
  double* seconds_;
  double start_s_;
};

}  // namespace rehearse
