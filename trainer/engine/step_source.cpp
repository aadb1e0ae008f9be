#include "trainer/engine/step_source.h"

#include <algorithm>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

using nlohmann::json;

json to_json(const Draw& draw) {
  return {draw.utterance, draw.visit, draw.bin, draw.is_probe, draw.is_learned};
}

Draw draw_from(const json& value) {
  return {value.at(0), value.at(1), value.at(2), value.at(3), value.at(4)};
}

json to_json(const StepPlan& plan) {
  json batches = json::array();
  for (const MicroBatch& batch : plan.micro_batches) {
    json draws = json::array();
    for (const Draw& draw : batch.draws) draws.push_back(to_json(draw));
    batches.push_back({{"draws", draws}, {"positions", batch.positions}});
  }
  return {{"step", plan.step}, {"num_draws", plan.num_draws}, {"micro_batches", batches}};
}

StepPlan plan_from(const json& value) {
  StepPlan plan{value.at("step"), value.at("num_draws"), {}};
  for (const json& item : value.at("micro_batches")) {
    MicroBatch batch;
    for (const json& draw : item.at("draws")) batch.draws.push_back(draw_from(draw));
    batch.positions = item.at("positions").get<std::vector<uint32_t>>();
    plan.micro_batches.push_back(std::move(batch));
  }
  return plan;
}

}  // namespace

void StepSource::apply_before(uint64_t step) {
  while (!pending_.empty() && pending_.begin()->first < step) {
    const auto first = pending_.begin();
    sampler_.observe(first->first, first->second.observations, first->second.in_warmup);
    pending_.erase(first);
  }
}

std::vector<StepPlan> StepSource::plan_ahead(size_t depth) {
  std::vector<StepPlan> fresh;
  while (planned_.size() < depth) {
    const uint64_t needed = planner_.observations_needed_for(planner_.next_step());
    if (needed > num_observed_) break;
    apply_before(needed);
    planned_.push_back(planner_.next());
    fresh.push_back(planned_.back());
  }
  return fresh;
}

StepPlan StepSource::take() {
  REHEARSE_CHECK(!planned_.empty(), "the lag is at least one window, so the next step is always planned");
  StepPlan plan = std::move(planned_.front());
  planned_.pop_front();
  return plan;
}

void StepSource::observe(uint64_t step, std::vector<Observation> observations, bool in_warmup) {
  REHEARSE_CHECK(step == num_observed_, "steps are observed in order");
  pending_[step] = {in_warmup, std::move(observations)};
  ++num_observed_;
}

void StepSource::save(State& state) const {
  sampler_.save(state);
  planner_.save(state);
  json planned = json::array(), pending = json::array();
  for (const StepPlan& plan : planned_) planned.push_back(to_json(plan));
  for (const auto& [step, entry] : pending_) {
    json observations = json::array();
    for (const Observation& one : entry.observations)
      observations.push_back({one.position, to_json(one.draw), one.error, one.is_bad_file, one.is_infeasible});
    pending.push_back({{"step", step}, {"in_warmup", entry.in_warmup}, {"observations", observations}});
  }
  state.values["step_source"] = {{"planned", planned}, {"pending", pending}, {"num_observed", num_observed_}};
}

// What was loaded is of one piece: nothing of it may lead out of the corpus.
bool StepSource::is_sound() const {
  const auto is_known = [this](const Draw& draw) { return draw.utterance < planner_.num_utterances(); };
  uint64_t step = num_observed_;
  for (const StepPlan& plan : planned_) {
    if (plan.step != step++ || plan.micro_batches.size() != static_cast<size_t>(planner_.options().micro_batches))
      return false;
    for (const MicroBatch& batch : plan.micro_batches)
      if (batch.positions.size() != batch.draws.size() || !std::ranges::all_of(batch.draws, is_known)) return false;
  }
  for (const auto& [observed, entry] : pending_)
    if (observed >= num_observed_ ||
        !std::ranges::all_of(entry.observations, [&](const Observation& one) { return is_known(one.draw); }))
      return false;
  return step == planner_.next_step();
}

void StepSource::load(const State& state) {
  sampler_.load(state);
  planner_.load(state);
  planned_.clear();
  pending_.clear();
  try {
    const json& own = state.values.at("step_source");
    num_observed_ = own.at("num_observed");
    for (const json& plan : own.at("planned")) planned_.push_back(plan_from(plan));
    for (const json& item : own.at("pending")) {
      Pending entry{item.at("in_warmup"), {}};
      for (const json& one : item.at("observations"))
        entry.observations.push_back(
            {one.at(0), draw_from(one.at(1)), one.at(2), one.at(3), one.size() > 4 && one.at(4).get<bool>()});
      pending_[item.at("step")] = std::move(entry);
    }
  } catch (const json::exception&) {
    throw DataError(
        "checkpoint: state.json: step_source: expected planned steps and observations; found values of other"
        " types; it is damaged");
  }
  if (!is_sound())
    throw DataError("checkpoint: state.json: step_source: expected the steps from ", num_observed_,
                    " on, of this corpus and batch.micro_batches; found others; it is damaged");
}

}  // namespace rehearse
