// A training loop without a model: plans, "decodes" with a given error function, and observes.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/sampler/batches/batch_planner.h"
#include "sampler_fixture.h"

namespace rehearse {

using FakeError = std::function<double(const Draw&, uint64_t step)>;

// Observations are given at once, or as late as the planner allows. How ranks share the work is another test's:
// observation_exchange_test.cpp.
class TrainingLoop {
 public:
  struct Setup {
    std::string yaml = "type: curriculum";
    BatchPlanner::Options batch{120, 8, 4, 8};
    bool is_late = false;
  };
  TrainingLoop(const Setup& setup, const Sampler::Context& context, FakeError error)
      : setup_(setup), context_(context), error_(std::move(error)) {
    restart();
  }

  // Everything anew, as a resumed process has it.
  void restart() {
    sampler_ = make_sampler(setup_.yaml, context_);
    planner_ = std::make_unique<BatchPlanner>(setup_.batch, context_.cost, context_.seed, *sampler_);
    waiting_.clear();
  }

  StepPlan step() {
    while (!waiting_.empty() && waiting_.front().first < planner_->observations_needed_for(planner_->next_step()))
      give();
    StepPlan plan = planner_->next();
    waiting_.emplace_back(plan.step, decode(plan));
    if (!setup_.is_late) give();
    return plan;
  }

  void save(State& state) {
    sampler_->save(state);
    planner_->save(state);
  }
  void load(const State& state) {
    sampler_->load(state);
    planner_->load(state);
  }
  std::deque<std::pair<uint64_t, std::vector<Observation>>>& waiting() { return waiting_; }
  Sampler& sampler() { return *sampler_; }
  template <class T>
  T& sampler_as() {
    return dynamic_cast<T&>(*sampler_);
  }

 private:
  void give() {
    sampler_->observe(waiting_.front().first, waiting_.front().second, false);
    waiting_.pop_front();
  }

  std::vector<Observation> decode(const StepPlan& plan) const {
    std::vector<Observation> observed;
    for (const MicroBatch& batch : plan.micro_batches)
      for (size_t i = 0; i < batch.draws.size(); ++i)
        observed.push_back({batch.positions[i], batch.draws[i], error_(batch.draws[i], plan.step), false});
    return observed;
  }

  Setup setup_;
  Sampler::Context context_;
  FakeError error_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<BatchPlanner> planner_;
  std::deque<std::pair<uint64_t, std::vector<Observation>>> waiting_;
};

inline std::vector<Draw> draws_of(const StepPlan& plan) {
  std::vector<Draw> draws;
  for (const MicroBatch& batch : plan.micro_batches) draws.insert(draws.end(), batch.draws.begin(), batch.draws.end());
  return draws;
}

}  // namespace rehearse
