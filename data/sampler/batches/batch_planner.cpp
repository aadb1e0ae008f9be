#include "data/sampler/batches/batch_planner.h"

#include <algorithm>
#include <utility>

#include "data/sampler/batches/length_batches.h"
#include "data/sampler/saved_state.h"
#include "trainer/base/random.h"

namespace rehearse {

BatchPlanner::Options BatchPlanner::Options::from(ConfigNode& batch, ConfigNode& curriculum) {
  Options o;
  // `seconds` is its name where an example's cost is its duration.
  o.cost = batch.has("cost") ? batch.required_number("cost", {0.1, 1e9}) : batch.number("seconds", o.cost, {0.1, 1e7});
  o.micro_batches = static_cast<int>(batch.integer("micro_batches", o.micro_batches, {1, 65536}));
  o.lag_steps = static_cast<int>(curriculum.integer("lag_steps", o.lag_steps, {1, 1000}));
  o.window_steps = static_cast<int>(curriculum.integer("window_steps", o.window_steps, {1, 64}));
  return o;
}

BatchPlanner::BatchPlanner(const Options& options, std::vector<float> duration_s, uint64_t seed, Sampler& sampler)
    : options_(options), duration_s_(std::move(duration_s)), seed_(seed), sampler_(sampler) {}

uint64_t BatchPlanner::next_step() const {
  return open_window_.empty() ? next_step_ : open_window_.front().step;
}

uint64_t BatchPlanner::observations_needed_for(uint64_t step) const {
  // Windows start wherever the one before ended; one that is not open yet starts at next_step_ + a multiple.
  const auto window = static_cast<uint64_t>(options_.window_steps);
  const auto lag = static_cast<uint64_t>(options_.lag_steps);
  if (step < next_step_) return 0;  // already planned
  const uint64_t first = step - (step - next_step_) % window;
  return first + 1 > lag ? first + 1 - lag : 0;
}

StepPlan BatchPlanner::next() {
  if (open_window_.empty()) plan_window();
  StepPlan plan = std::move(open_window_.front());
  open_window_.pop_front();
  return plan;
}

void BatchPlanner::plan_window() {
  const auto steps = static_cast<size_t>(options_.window_steps);
  const auto micro_batches = static_cast<size_t>(options_.micro_batches);
  LengthBatches batches(duration_s_, steps * micro_batches, options_.cost * static_cast<double>(steps));
  sampler_.begin_window(next_step_);
  uint64_t position = 0;
  while (const size_t wanted = batches.num_wanted())
    for (size_t i = 0; i < wanted; ++i) batches.add(sampler_.draw(position++));

  const RandomKey key = RandomKey(seed_).with("batches").with(next_step_);
  for (std::vector<MicroBatch>& dealt : deal_to_steps(batches.take(), duration_s_, steps, key)) {
    StepPlan plan;
    plan.step = next_step_++;
    plan.micro_batches = std::move(dealt);
    for (MicroBatch& batch : plan.micro_batches)
      for (size_t i = 0; i < batch.draws.size(); ++i) batch.positions.push_back(plan.num_draws++);
    open_window_.push_back(std::move(plan));
  }
}

void BatchPlanner::save(State& state) const {
  std::vector<uint64_t> steps;
  std::vector<uint32_t> sizes, utterances, visits;
  std::vector<uint16_t> bins;
  std::vector<uint8_t> flags;
  for (const StepPlan& plan : open_window_) {
    steps.push_back(plan.step);
    for (const MicroBatch& batch : plan.micro_batches) {
      sizes.push_back(static_cast<uint32_t>(batch.draws.size()));
      for (const Draw& draw : batch.draws) {
        utterances.push_back(draw.utterance);
        visits.push_back(draw.visit);
        bins.push_back(draw.bin);
        flags.push_back(static_cast<uint8_t>((draw.is_probe ? 1 : 0) | (draw.is_learned ? 2 : 0)));
      }
    }
  }
  state.values["planner"] = {
      {"next_step", next_step_}, {"micro_batches", options_.micro_batches}, {"utterances", duration_s_.size()}};
  state.arrays["planner.steps"] = StateArray::of(steps);
  state.arrays["planner.sizes"] = StateArray::of(sizes);
  state.arrays["planner.utterances"] = StateArray::of(utterances);
  state.arrays["planner.visits"] = StateArray::of(visits);
  state.arrays["planner.bins"] = StateArray::of(bins);
  state.arrays["planner.flags"] = StateArray::of(flags);
}

void BatchPlanner::load(const State& state) {
  read_saved("planner", [&] { load_values(state); });
}

void BatchPlanner::load_values(const State& state) {
  const nlohmann::json values = state.values.value("planner", nlohmann::json::object());
  const auto micro_batches = values.value("micro_batches", 0);
  const auto num_utterances = values.value("utterances", size_t{0});
  if (micro_batches != options_.micro_batches || num_utterances != duration_s_.size())
    throw DataError("checkpoint: planner: expected batch.micro_batches ", options_.micro_batches, " and ",
                    duration_s_.size(), " utterances; found ", micro_batches, " and ", num_utterances,
                    "; resume with the configuration and manifests of the saved run");
  const auto steps = state.array<uint64_t>("planner.steps");
  const auto sizes = state.array<uint32_t>("planner.sizes");
  const auto utterances = state.array<uint32_t>("planner.utterances");
  const auto visits = state.array<uint32_t>("planner.visits");
  const auto bins = state.array<uint16_t>("planner.bins");
  const auto flags = state.array<uint8_t>("planner.flags");
  uint64_t num_draws = 0;
  for (uint32_t size : sizes) num_draws += size;
  if (sizes.size() != steps.size() * static_cast<size_t>(micro_batches) || utterances.size() != num_draws ||
      visits.size() != num_draws || bins.size() != num_draws || flags.size() != num_draws ||
      std::any_of(utterances.begin(), utterances.end(), [&](uint32_t u) { return u >= num_utterances; }))
    throw DataError("checkpoint: planner: expected arrays that agree with each other; found others; it is damaged");

  next_step_ = values.at("next_step");
  open_window_.clear();
  size_t at = 0;
  for (size_t s = 0; s < steps.size(); ++s) {
    StepPlan& plan = open_window_.emplace_back();
    plan.step = steps[s];
    for (size_t m = 0; m < static_cast<size_t>(micro_batches); ++m) {
      MicroBatch& batch = plan.micro_batches.emplace_back();
      for (uint32_t i = 0; i < sizes[s * static_cast<size_t>(micro_batches) + m]; ++i, ++at) {
        batch.draws.push_back({utterances[at], visits[at], bins[at], (flags[at] & 1) != 0, (flags[at] & 2) != 0});
        batch.positions.push_back(plan.num_draws++);
      }
    }
  }
}

}  // namespace rehearse
