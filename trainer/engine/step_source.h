// Plans in, observations out: keeps the sampler fed with exactly the observations each planning window may see.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "data/sampler/batches/batch_planner.h"
#include "data/sampler/sampler.h"

namespace rehearse {

// One rank's view; equal on all ranks. Not thread-safe.
class StepSource {
 public:
  // Both outlive the source.
  StepSource(Sampler& sampler, BatchPlanner& planner) : sampler_(sampler), planner_(planner) {}

  // Plans ahead as far as the lag allows, at most `depth` steps in all; returns the plans that are new.
  std::vector<StepPlan> plan_ahead(size_t depth);
  // The plan of the next step to run; plan_ahead(1) has made sure that there is one.
  StepPlan take();
  // The gathered observations of the step taken last, in order of position.
  void observe(uint64_t step, std::vector<Observation> observations, bool in_warmup);

  // Plans not yet taken (for the loader after a resume).
  const std::deque<StepPlan>& planned() const { return planned_; }
  void save(State& state) const;
  // DataError when it is damaged; another state may be loaded then.
  void load(const State& state);

 private:
  struct Pending {
    bool in_warmup = false;
    std::vector<Observation> observations;
  };
  void apply_before(uint64_t step);
  bool is_sound() const;
  Sampler& sampler_;
  BatchPlanner& planner_;
  std::deque<StepPlan> planned_;
  std::map<uint64_t, Pending> pending_;  // observed, not yet applied
  uint64_t num_observed_ = 0;            // steps 0 … num_observed_ - 1 are observed
};

}  // namespace rehearse
