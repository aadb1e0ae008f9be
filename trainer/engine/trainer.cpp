#include "trainer/engine/trainer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "trainer/device/device.h"
#include "trainer/engine/exchange/observation_exchange.h"
#include "trainer/engine/guards/heaviest_batch.h"
#include "trainer/engine/guards/last_words.h"
#include "trainer/engine/guards/left_out.h"
#include "trainer/engine/guards/stop_signal.h"
#include "trainer/engine/train_parts.h"

namespace rehearse {
namespace {

constexpr size_t kPrefetchSteps = 3;
constexpr uint64_t kTimedSteps = 20;

void describe(const Batch& batch, TraceSpan& span) {
  span.note("B", batch.size());
  for (const Batch::Measure& one : batch.measures()) span.note(one.name, one.value);
  span.note("load_s", batch.load_seconds);
}

}  // namespace

Trainer::Trainer(const TrainerParts& parts)
    : parts_(parts),
      bad_files_(parts.training.dataset, parts.options.max_rejected_share),
      source_(parts.sampler, parts.planner),
      update_(parts.options.update, parts.model.arena(), parts.optimizer, parts.communicator) {
  make_reducer();
  loader_ = std::make_unique<Loader>(
      parts.options.loader_threads,
      [set = &parts.training](const MicroBatch& plan, const std::stop_token& stop) { return set->load(plan, stop); });
  const fs::path checkpoints = fs::path(parts.options.folder) / "checkpoints";
  if (parts.communicator.rank() == 0)
    writer_ = std::make_unique<CheckpointWriter>(
        CheckpointWriter::Options{checkpoints, parts.options.keep_last, parts.options.keep_every_steps}, files_);
}

void Trainer::make_reducer() {
  const RunOptions& options = parts_.options;
  Reducer::Options reducer;
  reducer.bucket_bytes = static_cast<size_t>(options.bucket_bytes);
  reducer.first_bucket_bytes = static_cast<size_t>(options.first_bucket_bytes);
  reducer.last_bucket_bytes = static_cast<size_t>(options.last_bucket_bytes);
  reducer.as_bfloat16 = options.reduce_as_bfloat16;
  if (has_order_) reducer.slices = update_.slices_of_gradient();  // before, gradients still change their places
  reducer_.reset();                                               // its hooks go before others come
  reducer_ = std::make_unique<Reducer>(parts_.model.arena(), parts_.communicator, reducer, lane());
}

// Once per run, after the first backward pass and before the first update: rank 0's order of gradients becomes that of
// the arena, so that buckets fill up in the order in which they go out.
void Trainer::adopt_ready_order() {
  has_order_ = true;
  const std::vector<size_t> seen = reducer_->ready_order();
  if (seen.empty()) return;
  std::vector<uint32_t> order(seen.begin(), seen.end());
  parts_.communicator.broadcast(std::as_writable_bytes(std::span(order)), 0, "broadcast (order of gradients)");
  parts_.model.arena().reorder({order.begin(), order.end()});
  make_reducer();
}

// Largest share over the budgets that are set; every rank computes it from the same sums.
double Trainer::budget_share() const {
  const BudgetOptions& budget = parts_.options.budget;
  double share = 0;
  const auto spend = [&](double spent, double limit) {
    if (limit > 0) share = std::max(share, spent / limit);
  };
  spend(static_cast<double>(progress_.step), static_cast<double>(budget.steps));
  spend(static_cast<double>(progress_.draws), static_cast<double>(budget.draws));
  spend(static_cast<double>(progress_.draws) / static_cast<double>(dataset().size()), budget.passes);
  spend(progress_.elapsed_s / 60, budget.minutes);
  return share;
}

bool Trainer::has_stopped_early() const {
  const int64_t patience = parts_.options.early_stop_patience;
  return patience > 0 && progress_.validations_without_gain >= patience;
}

bool Trainer::is_done() const {
  return budget_share() >= 1 || has_stopped_early();
}

int Trainer::run() {
  if (budget_share() < 1)
    try_batch({parts_.options, parts_.model},
              *parts_.training.load(heaviest_batch(dataset(), parts_.options.batch), {}));
  start_clock_ = monotonic_s();
  start_elapsed_s_ = last_log_elapsed_s_ = progress_.elapsed_s;
  for (const StepPlan& plan : source_.planned()) push(plan);  // of a resumed run
  const RunOptions& options = parts_.options;
  while (budget_share() < 1) {
    run_step();
    const bool is_last = budget_share() >= 1;
    const bool is_stopping = last_total_.stop_requests > 0;
    log_step(is_last || is_stopping);
    report_saves();
    if (options.checksum_every_steps > 0 && progress_.step % static_cast<uint64_t>(options.checksum_every_steps) == 0)
      compare_checksums();
    if (is_stopping) {
      save();
      finish_saving();
      report_cost();
      report_quarantine();
      parts_.run_log.note(progress_.step, concat("stopped by a signal at step ", progress_.step,
                                                 "; everything is saved, go on with --resume auto"));
      return kExitStopped;
    }
    if (is_due(options.validate_every_steps, options.validate_every_minutes, progress_.last_validation_s) && !is_last)
      validate();
    if (is_due(options.save_every_steps, options.save_every_minutes, progress_.last_save_s) && !is_last) save();
    if (has_stopped_early()) {
      parts_.run_log.note(progress_.step, concat("stopped early: ", progress_.validations_without_gain,
                                                 " validations without a better macro ", terms().scores[0].title));
      break;
    }
  }
  finish_run();
  return kExitOk;
}

void Trainer::finish_run() {
  if (progress_.updates == 0 && progress_.step > 0) {
    finish_saving();
    throw ConfigError(nothing_learned_message(progress_.step, progress_.skipped));
  }
  if (const std::string remark = parts_.model.task().closing_remark(); !remark.empty())
    parts_.run_log.note(progress_.step, remark);
  if (progress_.last_saved_step != progress_.step || progress_.step == 0) {
    if (progress_.validated_step != progress_.step) validate();
    save();
  }
  finish_saving();
  report_cost();
  report_quarantine();
}

// Hands the loader what the sampler may already plan.
void Trainer::prefetch() {
  for (const StepPlan& plan : source_.plan_ahead(kPrefetchSteps)) push(plan);
}

// This rank's micro-batches of it.
void Trainer::push(const StepPlan& plan) {
  const size_t per_rank = plan.micro_batches.size() / static_cast<size_t>(parts_.communicator.size());
  const size_t first = per_rank * static_cast<size_t>(parts_.communicator.rank());
  for (size_t i = first; i < first + per_rank; ++i)
    loader_->push(plan.step, static_cast<int>(i), plan.micro_batches[i]);
}

StepPlan Trainer::plan_step() {
  const PhaseTimer timer(lane(), "plan", phases_.other);
  parts_.communicator.set_step(progress_.step);
  set_last_words_step(progress_.step);
  prefetch();
  tally_ = {};
  observations_.clear();
  parts_.model.arena().begin_update();
  rounded_weights_.clear();
  return source_.take();
}

void Trainer::run_step() {
  if (parts_.profile)
    if (const std::string line = parts_.profile->begin_step(progress_.step); !line.empty())
      parts_.run_log.note(progress_.step, line);
  const TraceSpan span(lane(), "step");
  const StepPlan plan = plan_step();
  const size_t per_rank = plan.micro_batches.size() / static_cast<size_t>(parts_.communicator.size());
  const double share_before = budget_share();
  const bool in_warmup = share_before < parts_.schedule.warmup_share();
  lr_ = parts_.options.lr * parts_.schedule.factor(share_before);

  for (size_t i = 0; i < per_rank; ++i) run_micro_batch(i + 1 == per_rank && !is_last_try());
  if (is_last_try()) {  // nothing has gone out: what is not finite is still this rank's own
    not_finite_ = own_not_finite();
    reducer_->arm();
  }
  if (stop_requested().load()) tally_.stop_requests = 1;
  if (parts_.communicator.rank() == 0) tally_.elapsed_s = start_elapsed_s_ + monotonic_s() - start_clock_;
  reduce();
  {
    const PhaseTimer timer(lane(), "update", phases_.update);
    const bool has_slice_alone = reducer_->leaves_slices();
    if (!has_order_) adopt_ready_order();
    const Arena::GradientTotals totals = update_.gradient_totals(has_slice_alone);
    last_total_ = StepTally::read_from(totals.tail.data());
    apply_update(last_total_, totals.sum_of_squares);
  }
  gather_observations(plan.step, in_warmup);
  ++progress_.step;
  if (const std::string line = parts_.model.task().watch(last_total_.task); !line.empty())
    parts_.run_log.note(progress_.step, line);
  progress_.draws += plan.num_draws;
  progress_.cost += last_total_.cost;
  progress_.elapsed_s = last_total_.elapsed_s;
  if (progress_.step == kTimedSteps) estimate_draws();
}

// A run that only wall time limits gets its number of draws from its first steps, so that max_repeats can hold.
void Trainer::estimate_draws() {
  const BudgetOptions& budget = parts_.options.budget;
  if (budget.minutes <= 0 || budget.steps > 0 || budget.draws > 0 || budget.passes > 0) return;
  const double draws = static_cast<double>(progress_.draws) / progress_.elapsed_s * budget.minutes * 60;
  parts_.sampler.set_planned_draws(static_cast<uint64_t>(draws));
  parts_.run_log.note(progress_.step, concat("about ", static_cast<uint64_t>(draws), " draws fit into ", budget.minutes,
                                             " minutes, judged by the first ", kTimedSteps, " steps"));
  for (const std::string& line : parts_.sampler.notes()) parts_.run_log.note(progress_.step, line);
}

void Trainer::run_micro_batch(bool is_last) {
  TraceSpan span(lane(), "micro-batch");
  std::unique_ptr<Batch> loaded;
  {
    const PhaseTimer timer(lane(), "data", phases_.data);
    loaded = loader_->next();
  }
  const Batch& batch = *loaded;
  describe(batch, span);
  const ForwardContext context{true,      parts_.options.seed,      progress_.step,
                               batch.ids, parts_.options.precision, &rounded_weights_};
  TaskOutput output;
  {
    PhaseTimer timer(lane(), "forward", phases_.forward);
    on_device(batch, "batch.seconds, or raise batch.micro_batches",
              [&] { output = parts_.model.task().forward(batch, context); });
    timer.split(terms().loss_phase_title.c_str(), phases_.loss, output.loss_seconds);
  }
  if (is_last) reducer_->arm();
  {
    const PhaseTimer timer(lane(), "backward", phases_.backward);
    on_device(batch, "batch.seconds, or raise batch.micro_batches", [&] {
      if (!output.loss_sum.defined() || !output.loss_sum.requires_grad()) return;
      const double scale = update_.loss_scale().factor();
      (scale == 1 ? output.loss_sum : output.loss_sum * scale).backward();
    });
  }
  const PhaseTimer timer(lane(), "score", phases_.other);
  output.collect();
  tally_.micro_batches += batch.size() == 0 ? 0 : 1;
  tally_.normalizer += output.normalizer;
  for (size_t i = 0; i < kMaxTaskSums; ++i) tally_.task[i] += output.sums[i];
  record_observations(batch, output);
}

// Sends the last bucket, with the sums of the step, and waits for all of them.
void Trainer::reduce() {
  const PhaseTimer timer(lane(), "communication wait", phases_.communication);
  Arena::Tail tail{};
  static_assert(StepTally::kFloats <= Arena::kTail);
  tally_.write_to(tail.data());
  parts_.model.arena().write_tail(tail);
  reducer_->finish();
}

void Trainer::record_observations(const Batch& batch, const TaskOutput& output) {
  REHEARSE_CHECK(output.examples.size() == batch.size(), "a task says what each example came to");
  for (size_t i = 0; i < batch.size(); ++i) {
    const ExampleResult& one = output.examples[i];
    Observation seen{batch.positions[i], batch.draws[i], 1.0, !one.unusable.empty(), one.is_infeasible};
    tally_.draws += 1;
    tally_.cost += one.cost;
    if (seen.is_bad_file) {
      tally_.failures += 1;
      reasons_[batch.draws[i].utterance] = one.unusable;
    } else if (seen.is_infeasible) {
      tally_.infeasible += 1;
    } else {
      seen.error = one.error;
      tally_.error += one.error;
      if (batch.weights[i] > 0) tally_.loss += one.loss;
    }
    pack_observation(seen, observations_);
  }
}

void Trainer::apply_update(const StepTally& total, double gradient_squares) {
  const Update::Result result = update_.apply(total, gradient_squares, lr_, progress_.updates + 1);
  const bool is_applied = result.outcome == Update::Outcome::kApplied;
  if (result.outcome == Update::Outcome::kNothingDrawn) return;
  gradient_norm_ = result.gradient_norm;
  progress_.not_finite_in_row = result.is_finite ? 0 : progress_.not_finite_in_row + 1;
  if (is_applied) {
    ++progress_.updates;
    return;
  }
  ++progress_.skipped;
  parts_.run_log.note(progress_.step, concat("step ", progress_.step, ": ", result.reason, "; update left out"));
  if (progress_.not_finite_in_row >= static_cast<uint64_t>(parts_.options.update.max_left_out)) end_left_out();
}

// One more that is not finite ends the run.
bool Trainer::is_last_try() const {
  return progress_.not_finite_in_row + 1 >= static_cast<uint64_t>(parts_.options.update.max_left_out);
}

void Trainer::gather_observations(uint64_t step, bool in_warmup) {
  const PhaseTimer timer(lane(), "observe", phases_.communication);
  std::vector<Observation> all =
      merge_observations(parts_.communicator.all_gather(std::move(observations_), "all_gather (observations)").get());
  report_files(all);
  if (parts_.observations) parts_.observations->replace(step, all, dataset().ids);
  if (parts_.observation_log) parts_.observation_log->write(step, all, dataset().ids);
  // What a forward pass that was not finite heard says nothing about the utterances.
  if (!std::isfinite(last_total_.loss)) std::erase_if(all, [](const Observation& one) { return !one.is_bad_file; });
  source_.observe(step, std::move(all), in_warmup);
}

bool Trainer::is_due(int64_t every_steps, double every_minutes, double last_s) const {
  return (every_steps > 0 && progress_.step % static_cast<uint64_t>(every_steps) == 0) ||
         (every_minutes > 0 && progress_.elapsed_s - last_s >= every_minutes * 60);
}

}  // namespace rehearse
