// From draws to micro-batches: windows of steps, length-homogeneous batches, the same for every world size.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "data/sampler/sampler.h"

namespace rehearse {

// One micro-batch of one update; every utterance is padded to the longest.
struct MicroBatch {
  std::vector<Draw> draws;
  std::vector<uint32_t> positions;  // of each draw in the step, 0 … StepPlan::num_draws - 1
};

// One update over all ranks: micro_batches[i] belongs to rank i / (size / world), so any world that divides the count
// sees the same micro-batches.
struct StepPlan {
  uint64_t step = 0;
  uint32_t num_draws = 0;
  std::vector<MicroBatch> micro_batches;
};

// Plans steps in windows. plan(s) is a function of seed, w and the observations of steps < w - lag + 1, with w the
// first step of the window that holds s: ask for it only once these were observed. Not thread-safe.
class BatchPlanner {
 public:
  struct Options {
    double cost = 120;      // padded, of one update over all ranks and micro-batches: `batch.cost`, or `seconds`
    int micro_batches = 8;  // of one update, over all ranks
    int window_steps = 4;
    int lag_steps = 8;  // D
    static Options from(ConfigNode& batch, ConfigNode& curriculum);
  };
  BatchPlanner(const Options& options, std::vector<float> duration_s, uint64_t seed, Sampler& sampler);

  const Options& options() const { return options_; }
  size_t num_utterances() const { return duration_s_.size(); }
  // First step whose observations must have been given before plan(step) may be called, plus one (0: none needed).
  uint64_t observations_needed_for(uint64_t step) const;
  // Steps must be asked for in order. Plans a whole window when the open one is used up.
  StepPlan next();
  uint64_t next_step() const;

  // The rest of the open window is part of the state; the sampler saves itself.
  void save(State& state) const;
  void load(const State& state);

 private:
  void load_values(const State& state);
  void plan_window();
  Options options_;
  std::vector<float> duration_s_;
  uint64_t seed_;
  Sampler& sampler_;
  uint64_t next_step_ = 0;
  std::deque<StepPlan> open_window_;
};

}  // namespace rehearse
