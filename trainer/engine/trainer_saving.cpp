// The parts of Trainer that keep a run's state whole: saving, loading, comparing ranks, ending what has diverged.
#include <ATen/ATen.h>

#include <chrono>
#include <cmath>

#include "trainer/base/text/json_fields.h"
#include "trainer/engine/guards/left_out.h"
#include "trainer/engine/guards/state_digest.h"
#include "trainer/engine/trainer.h"

namespace rehearse {
namespace {

std::span<const float> values_of(const at::Tensor& on_host) {
  return {on_host.const_data_ptr<float>(), static_cast<size_t>(on_host.numel())};
}

uint64_t digest_of_weights(const at::Tensor& parameters, const at::Tensor& buffers) {
  return digest_of(values_of(parameters), digest_of(values_of(buffers)));
}

}  // namespace

// Rank 0 copies, its writer writes while training goes on. Every rank calls this after the same step.
void Trainer::save(bool is_best) {
  const auto asked = std::chrono::steady_clock::now();
  if (progress_.last_saved_step == progress_.step && progress_.step > 0) return;
  const TraceSpan span(lane(), "save");
  const SavingPhase saving(parts_.communicator);  // a copy that takes long is no absence
  finish_saving();
  Arena& arena = parts_.model.arena();
  const Update::Average weights{arena.parameters().cpu(), arena.buffers().cpu()};
  const std::vector<Update::NamedValues> own_state = update_.own_state();
  const std::vector<uint64_t> shard_digests = expect_sound(weights, own_state);
  progress_.last_save_s = progress_.elapsed_s;
  progress_.last_saved_step = progress_.step;
  if (progress_.not_finite_in_row == 0) progress_.sound_step = progress_.step;
  const std::vector<TensorSpan> state = update_.gather_state(own_state);
  Update::Average average;
  if (update_.has_average() && (writer_ || update_.is_sharded())) average = update_.average();
  if (writer_) {
    expect_whole(state, shard_digests);
    CheckpointContents contents = contents_of(weights);
    contents.optimizer = state;
    if (average.parameters.defined()) {
      average = {average.parameters.cpu(), average.buffers.cpu()};
      contents.ema = parts_.model.weights(average.parameters, average.buffers);
    }
    writer_->save(std::move(contents), {is_best, asked, progress_.sound_step});
  }
  update_.release_state();
}

// Without optimizer state and average.
CheckpointContents Trainer::contents_of(const Update::Average& host_weights) const {
  CheckpointContents contents;
  contents.step = progress_.step;
  contents.model = parts_.model.weights(host_weights.parameters, host_weights.buffers);
  nlohmann::json& values = contents.state.values;
  values["arena"] = parts_.model.arena().names();
  values["guard"] = update_.guard().save();
  if (update_.loss_scale().is_used()) values["loss_scale"] = update_.loss_scale().save();
  source_.save(contents.state);
  contents.files = parts_.files;
  values["facts"] = parts_.facts;
  values["progress"] = {{"updates", progress_.updates},
                        {"skipped", progress_.skipped},
                        {"not_finite_in_row", progress_.not_finite_in_row},
                        {"draws", progress_.draws},
                        {terms().cost_key, progress_.cost},
                        {"elapsed_s", progress_.elapsed_s},
                        {"best_" + terms().scores[0].key, progress_.best},
                        {"validations_without_gain", progress_.validations_without_gain},
                        {"last_validation_s", progress_.last_validation_s}};
  if (progress_.sound_step) values["progress"]["sound_step"] = *progress_.sound_step;
  return contents;
}

// What is saved has the same bits on all ranks and is finite; else the run ends and nothing is written. Returns the
// digests of the ranks' slices of the optimizer state, where there are slices.
std::vector<uint64_t> Trainer::expect_sound(const Update::Average& host_weights,
                                            const std::vector<Update::NamedValues>& own_state) {
  const Arena& arena = parts_.model.arena();
  StateDigest own;
  own.replicated = digest_of_weights(host_weights.parameters, host_weights.buffers);
  own.note_not_finite(name_of_not_finite(values_of(host_weights.parameters), arena.segments()));
  own.note_not_finite(name_of_not_finite(values_of(host_weights.buffers), arena.buffer_segments()));
  if (update_.has_average()) {
    const at::Tensor buffers = update_.average_buffers().cpu();
    own.replicated = digest_of(values_of(buffers), own.replicated);
    own.note_not_finite(name_of_not_finite(values_of(buffers), arena.buffer_segments()));
  }
  uint64_t& digest = update_.is_sharded() ? own.shard : own.replicated;
  for (const auto& [name, values] : own_state) {
    digest = digest_of(values, digest);
    if (const std::string found = name_of_not_finite(values, arena.segments(), update_.begin()); !found.empty())
      own.note_not_finite(concat(name, " of ", found));
  }
  std::vector<uint64_t> replicated, shards;
  size_t rank_not_finite = 0;
  const auto all = gather_values(parts_.communicator, own, "all_gather (digests)");
  for (const StateDigest& one : all) {
    replicated.push_back(one.replicated);
    shards.push_back(one.shard);
  }
  expect_equal_digests(replicated, progress_.step, "weights and optimizer state");
  while (rank_not_finite < all.size() && all[rank_not_finite].not_finite[0] == '\0') ++rank_not_finite;
  if (rank_not_finite < all.size())
    throw ConfigError(not_finite_message({.step = progress_.step,
                                          .sound_step = progress_.sound_step,
                                          .checkpoints = fs::path(parts_.options.folder) / "checkpoints"},
                                         all[rank_not_finite].not_finite));
  return shards;
}

// Rank 0: the slices of the others came as they were sent.
void Trainer::expect_whole(const std::vector<TensorSpan>& state, const std::vector<uint64_t>& shard_digests) const {
  if (!update_.is_sharded()) return;
  const std::vector<size_t>& bounds = update_.bounds();
  for (size_t rank = 0; rank < shard_digests.size(); ++rank) {
    uint64_t digest = 0;
    for (const TensorSpan& one : state)
      digest = digest_of(one.values.subspan(bounds[rank], bounds[rank + 1] - bounds[rank]), digest);
    if (digest != shard_digests[rank])
      throw CommError("step ", progress_.step, ": expected rank ", rank,
                      "'s optimizer state as it was sent; found other bits; resume from the last checkpoint and check"
                      " that rank's machine and network");
  }
}

// Until rank 0's writer has nothing in flight. Short collectives, so that no rank counts as absent on a slow disk.
void Trainer::finish_saving() {
  constexpr double kPatience_s = 0.1;
  for (bool is_idle = false; !is_idle;) {
    const bool is_own_idle = !writer_ || writer_->wait_for(kPatience_s);
    const auto all = parts_.communicator.all_gather({std::byte{is_own_idle}}, "all_gather (checkpoint)").get();
    is_idle = all.at(0).at(0) != std::byte{0};
  }
  report_saves();
}

void Trainer::report_saves() {
  if (!writer_) return;
  for (const std::string& warning : writer_->take_warnings())
    parts_.run_log.note(progress_.step, "warning: " + warning);
  for (const CheckpointWriter::Saved& saved : writer_->take_saved())
    parts_.run_log.note(saved.step, concat("saved ", saved.path.string(), " (stall ", std::lround(saved.stall_s * 1e3),
                                           " ms, written in ", std::lround(saved.written_s * 1e3), " ms)"));
}

void Trainer::load(const LoadedCheckpoint& checkpoint) {
  parts_.model.load_weights(checkpoint, Model::Weights::kTrained);
  const std::string where = (checkpoint.path / "state.json").string();
  try {
    const nlohmann::json& values = checkpoint.state.values;
    if (values.contains("arena"))
      parts_.model.arena().reorder(values.at("arena").get<std::vector<std::string>>(), where);
    if (values.contains("guard")) update_.guard().load(values.at("guard"));
    if (update_.loss_scale().is_used()) update_.loss_scale().load(values.at("loss_scale"));
  } catch (const nlohmann::json::exception&) {
    throw DataError(where, ": expected the arena's order, guard and loss scale; found values of other types");
  }
  has_order_ = true;
  make_reducer();
  update_.load_state(checkpoint);
  source_.load(checkpoint.state);
  const JsonFields saved = JsonFields(checkpoint.state.values, where).child("progress");
  progress_ = {};
  progress_.step = progress_.last_saved_step = checkpoint.step;
  progress_.updates = saved.required_count("updates");
  progress_.skipped = saved.required_count("skipped");
  progress_.not_finite_in_row = saved.count("not_finite_in_row");
  if (progress_.not_finite_in_row == 0)
    progress_.sound_step = checkpoint.step;
  else if (saved.object().contains("sound_step"))
    progress_.sound_step = saved.required_count("sound_step");
  progress_.draws = saved.required_count("draws");
  progress_.cost = saved.required_number(terms().cost_key);
  progress_.elapsed_s = progress_.last_save_s = saved.required_number("elapsed_s");
  const double best = saved.number("best_" + terms().scores[0].key);  // null: NaN, of a validation of nothing
  progress_.best = std::isnan(best) ? -1 : best;
  progress_.validations_without_gain = static_cast<int64_t>(saved.required_count("validations_without_gain"));
  progress_.last_validation_s = saved.required_number("last_validation_s");
}

// Ranks must hold the same bits; a difference means broken hardware or a bug, and the run must not go on.
void Trainer::compare_checksums() {
  const TraceSpan span(lane(), "compare checksums");
  const Arena& arena = parts_.model.arena();
  const uint64_t own = digest_of_weights(arena.parameters().cpu(), arena.buffers().cpu());
  expect_equal_digests(gather_values(parts_.communicator, own, "all_gather (checksum)"), progress_.step, "weights");
}

// The first thing on this rank that is not finite, as long as its gradient is its own; empty: none.
std::string Trainer::own_not_finite() {
  const Arena& arena = parts_.model.arena();
  const auto look = [&](const char* what, const at::Tensor& anywhere, const std::vector<Segment>& segments) {
    const std::string name = name_of_not_finite(values_of(anywhere.cpu()), segments);
    return name.empty() ? name : concat(what, name);
  };
  std::string found = look("the weights ", arena.parameters(), arena.segments());
  if (found.empty()) found = look("the statistics ", arena.buffers(), arena.buffer_segments());
  if (found.empty() && !std::isfinite(tally_.loss)) found = "the loss, with weights that are finite";
  if (found.empty()) found = look("the gradient of ", arena.gradients(), arena.segments());
  return found;
}

// All ranks end with the same words; what is being written comes to the disk before.
void Trainer::end_left_out() {
  std::vector<std::byte> own(not_finite_.size());
  std::transform(not_finite_.begin(), not_finite_.end(), own.begin(), [](char c) { return static_cast<std::byte>(c); });
  LeftOutRun run{.step = progress_.step,
                 .in_row = progress_.not_finite_in_row,
                 .at_most = parts_.options.update.max_left_out,
                 .found_by_rank = {},
                 .sound_step = progress_.sound_step,
                 .checkpoints = fs::path(parts_.options.folder) / "checkpoints"};
  for (const auto& bytes : parts_.communicator.all_gather(std::move(own), "all_gather (not finite)").get())
    run.found_by_rank.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  finish_saving();
  throw ConfigError(left_out_message(run));
}

}  // namespace rehearse
