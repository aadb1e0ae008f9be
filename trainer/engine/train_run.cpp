#include "trainer/engine/train_run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <fstream>
#include <limits>
#include <optional>

#include "trainer/comm/world.h"
#include "trainer/engine/checkpoint_diff.h"
#include "trainer/engine/device.h"
#include "trainer/engine/learning_doubts.h"
#include "trainer/engine/session.h"
#include "trainer/engine/stop_signal.h"
#include "trainer/engine/tensor_collectives.h"
#include "trainer/engine/train_parts.h"
#include "trainer/engine/trainer.h"

namespace rehearse {
namespace {

// Each rank sums a small tensor with the others; the blocks' batch norms use it.
AllReduceSum all_reduce_of(Communicator& communicator) {
  if (communicator.size() == 1) return {};
  return [&communicator](at::Tensor& values) { all_reduce_sum(communicator, values, "all_reduce (batch norm)").get(); };
}

// Activations come and go every micro-batch: kept in the heap instead of being unmapped and faulted in again.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

// One run of one folder, on one rank.
class Run {
 public:
  // trace: null unless a profile is asked for.
  Run(const TrainRequest& request, World& world, const Device& device, Communicator& communicator, Trace* trace)
      : request_(request),
        world_(world),
        device_(device),
        communicator_(communicator),
        trace_(trace),
        config_(Config::load(request.config_path, request.overrides)),
        parts_(config_, request.config_path, {all_reduce_of(communicator), device.torch(), world.rank(), world.size()}),
        folder_(parts_.options.folder) {}

  int execute() {
    expect_runnable();
    const int threads = parts_.options.threads > 0 ? parts_.options.threads : world_.fair_threads();
    at::set_num_threads(threads);
    facts_ = {{"trajectory_hash", trajectory_hash(config_)},
              {"threads", threads},
              {"ranks", world_.size()},
              {"device", parts_.options.device},
              {"versions", request_.versions},
              {"corpus", parts_.corpus->hash()},
              {"front_end", parts_.recognizer->task().front_end()},
              {"normalizer", parts_.recognizer->normalizer().name()}};
    open_folder();
    std::optional<LoadedCheckpoint> checkpoint = find_checkpoint();
    if (world_.rank() == 0) replace_text(files_, folder_ / "config.yaml", config_.resolved());  // it fits the run
    RunLog run_log({world_.rank() != 0, folder_, checkpoint ? checkpoint->step : 0}, *log_);
    describe(run_log, checkpoint ? checkpoint->step : 0, threads);
    const std::unique_ptr<ObservationReplay> replay = open_replay();
    std::unique_ptr<ObservationWriter> observation_log;
    if (parts_.options.log_observations && world_.rank() == 0)
      observation_log =
          std::make_unique<ObservationWriter>(folder_ / "observations.jsonl", checkpoint ? checkpoint->step : 0);
    std::optional<Profile> profile;
    if (trace_)
      profile.emplace(Profile::Options{folder_, world_.rank(), world_.size(), request_.profile_steps}, *trace_);
    const nlohmann::json front_end = parts_.recognizer->task().front_end();
    Trainer trainer({parts_.options,
                     *parts_.recognizer,
                     *parts_.corpus,
                     parts_.validation.get(),
                     parts_.readers,
                     parts_.augmentations,
                     *parts_.sampler,
                     *parts_.planner,
                     *parts_.optimizer,
                     *parts_.schedule,
                     communicator_,
                     run_log,
                     observation_log.get(),
                     replay.get(),
                     {{"config.yaml", config_.resolved()},
                      {parts_.recognizer->tokenizer().file_name(), parts_.recognizer->tokenizer().serialized()},
                      {"front_end.json", front_end.dump(1)}},
                     facts_,
                     profile ? &*profile : nullptr});
    if (checkpoint) {
      trainer.load(*checkpoint);
      run_log.note(checkpoint->step, concat("resumed from ", checkpoint->path.string()));
      checkpoint.reset();
    } else if (!request_.init.empty()) {
      run_log.note(0, initialize_from(request_.init));
    }
    const int code = trainer.run();
    if (profile)
      if (const std::string line = profile->finish(); !line.empty()) log_->info(line);
    return code;
  }

 private:
  void expect_runnable() const {
    if (parts_.options.batch.micro_batches % world_.size() != 0)
      throw ConfigError("batch.micro_batches: expected a multiple of the ", world_.size(), " ranks; found ",
                        parts_.options.batch.micro_batches, "; use --set batch.micro_batches=",
                        (parts_.options.batch.micro_batches / world_.size() + 1) * world_.size());
  }

  std::unique_ptr<ObservationReplay> open_replay() const {
    const std::string& path = request_.replay_observations;
    if (path.empty()) return nullptr;
    if (fs::weakly_canonical(path) == fs::weakly_canonical(folder_ / "observations.jsonl"))
      throw ConfigError("--replay-observations: expected the log of another run; found this run's own ", path,
                        "; choose another run.folder");
    return std::make_unique<ObservationReplay>(path);
  }

  // Rank 0 prepares the folder; the others wait for it.
  void open_folder() {
    if (world_.rank() == 0) {
      make_folder(folder_ / "log");
      lock_ = std::make_unique<FileLock>(folder_ / "lock");
      const bool has_checkpoints = !list_checkpoints(folder_ / "checkpoints").empty();
      if (has_checkpoints && request_.resume.empty())
        throw ConfigError(folder_.string(),
                          ": expected a new run folder; found checkpoints of an earlier run; add --resume auto"
                          " to go on, or choose another run.folder");
    }
    communicator_.barrier("barrier (run folder)");
    log_ = std::make_unique<Log>(Log::Options{(folder_ / "log" / concat("rank-", world_.rank(), ".log")).string(),
                                              world_.rank(), world_.rank() == 0});
  }

  std::optional<LoadedCheckpoint> find_checkpoint() {
    if (request_.resume.empty()) return std::nullopt;
    std::optional<LoadedCheckpoint> found;
    if (request_.resume == "auto") {
      std::vector<std::string> refused;
      found = load_newest(folder_ / "checkpoints", refused);
      for (const std::string& reason : refused) {
        const std::string line = "checkpoint refused, trying the one before: " + reason;
        world_.rank() == 0 ? log_->warn(line) : log_->detail(line);  // every rank finds the same
      }
      if (!found && !refused.empty())
        throw DataError(folder_.string(), ": expected a whole checkpoint; found only damaged ones; see the warnings");
    } else {
      found = load_checkpoint(request_.resume, true);
    }
    if (found) expect_same_run(*found);
    expect_same_step(found ? found->step : 0);
    return found;
  }

  // On a shared file system one rank may see a folder that another one does not yet.
  void expect_same_step(uint64_t own) const {
    const auto all = gather_values(communicator_, own, "all_gather (checkpoint loaded)");
    for (size_t rank = 1; rank < all.size(); ++rank)
      if (all[rank] != all[0])
        throw DataError((folder_ / "checkpoints").string(), ": expected all ranks to resume from one step; found ",
                        all[0], " on rank 0 and ", all[rank], " on rank ", rank,
                        "; start again once both see the same files, or name the checkpoint with --resume");
  }

  void expect_same_run(const LoadedCheckpoint& checkpoint) {
    expect_resumable(checkpoint);
    const auto& saved = checkpoint.state.values.at("facts");
    const std::string where = (checkpoint.path / "state.json").string();
    if (saved.at("trajectory_hash") != facts_.at("trajectory_hash") &&
        saved.at("trajectory_hash") != trajectory_hash(config_, KeyOrder::kAsInFile))
      throw ConfigError(where, ": expected the configuration that this run began with; found ",
                        changed_keys(checkpoint), "; go on with the old values, or start a new run with --init");
    if (saved.at("corpus") != facts_.at("corpus"))
      throw DataError(where,
                      ": expected the training data that this run began with; found other utterances or texts;"
                      " start a new run with --init");
    for (const char* key : {"threads", "ranks", "device", "versions"}) {
      if (saved.at(key) == facts_.at(key)) continue;
      const std::string difference = concat("resumed with other ", key, ": expected ", saved.at(key).dump(), ", found ",
                                            facts_.at(key).dump(), "; the result is not bit-exact");
      if (request_.strict_resume) throw ConfigError(where, ": ", difference, " and --strict-resume asks for it");
      log_->warn(difference);
    }
  }

  // "optimizer.lr 0.1 instead of 0.02, …": what the checkpoint's configuration had otherwise.
  std::string changed_keys(const LoadedCheckpoint& checkpoint) const {
    constexpr size_t kShown = 5;
    const auto old = checkpoint.files.find("config.yaml");
    std::vector<KeyDifference> changed;
    if (old != checkpoint.files.end()) changed = config_differences(old->second, config_.resolved());
    std::erase_if(changed, [](const KeyDifference& one) { return is_outside_trajectory(one.key); });
    std::string text;
    for (size_t i = 0; i < std::min(kShown, changed.size()); ++i)
      text += concat(i > 0 ? ", " : "", changed[i].key, " ", changed[i].b, " instead of ", changed[i].a);
    if (changed.size() > kShown) text += concat(" and ", changed.size() - kShown, " more");
    return text.empty() ? "other values for keys that change the trajectory" : text;
  }

  // Weights and what is known about utterances; returns a sentence for the log.
  std::string initialize_from(const std::string& path) {
    const LoadedCheckpoint checkpoint = load_checkpoint(path, true);
    const auto& saved = checkpoint.state.values.at("facts");
    if (saved.at("front_end") != facts_.at("front_end"))
      throw ConfigError("features: expected the front-end of ", checkpoint.path.string(), ": ",
                        saved.at("front_end").dump(), "; found ", facts_.at("front_end").dump());
    std::string said = concat("started from the weights of ", checkpoint.path.string());
    const auto old_tokenizer = tokenizer_of(checkpoint);
    if (old_tokenizer->serialized() == parts_.recognizer->tokenizer().serialized())
      parts_.recognizer->load_weights(checkpoint, Recognizer::Weights::kForUse);
    else
      said += "; " + parts_.recognizer->load_weights_for_new_vocabulary(checkpoint, *old_tokenizer);
    if (checkpoint.state.arrays.contains("sampler.ids"))
      parts_.sampler->import_table(checkpoint.state, checkpoint.state.array<uint64_t>("sampler.ids"),
                                   ids_of(*parts_.corpus));
    return said;
  }

  void describe(RunLog& run_log, uint64_t step, int threads) {
    log_->info(request_.version_text);
    log_->info("run folder ", folder_.string(), "; ", world_.size(), " rank(s), ", threads, " thread(s) each, ",
               parts_.options.device, device_.is_cpu() ? "; " : " (" + device_.description() + "); ",
               parts_.recognizer->arena().num_parameters(), " parameters");
    if (const std::string path = communicator_.description(); !path.empty()) log_->info("sums over ranks: ", path);
    const Precision precision = parts_.options.precision;
    std::ifstream cpu("/proc/cpuinfo");
    const bool has_instructions = has_instructions_for(precision, {std::istreambuf_iterator<char>(cpu), {}});
    if (const std::string warning = precision_warning(precision, device_.torch(), has_instructions); !warning.empty())
      log_->warn(warning);
    log_->info(parts_.corpus->items().size(), " utterances, ", parts_.corpus->total_seconds() / 3600, " h in ",
               parts_.corpus->domains().size(), " domain(s); ", parts_.corpus->rejections().size(), " left out",
               parts_.corpus->rejections().empty() ? "" : " (listed in log/rank-0.log and by rehearse doctor)");
    for (const Rejection& rejection : parts_.corpus->rejections())
      if (world_.rank() == 0) log_->detail("left out: ", rejection.audio_path, ": ", rejection.reason);
    const auto material = LearningMaterial::of(parts_.corpus->items(), parts_.recognizer->tokenizer(),
                                               parts_.recognizer->arena().num_parameters());
    for (const std::string& line : learning_doubts(material))
      if (world_.rank() == 0) log_->warn(line);
    if (parts_.validation && !parts_.validation->rejections().empty() && world_.rank() == 0)
      log_->warn("validation: ", parts_.validation->rejections().size(), " utterances are left out, e.g. ",
                 parts_.validation->rejections()[0].audio_path, ": ", parts_.validation->rejections()[0].reason);
    for (const std::string& line : parts_.sampler->notes()) log_->info(line);
    StartMetrics start;
    start.step = step;
    start.config_hash = facts_.at("trajectory_hash");
    start.device = parts_.options.device;
    start.ranks = static_cast<uint64_t>(world_.size());
    start.threads = static_cast<uint64_t>(threads);
    start.versions = request_.versions;
    run_log.start(start);
  }

  const TrainRequest& request_;
  World& world_;
  const Device& device_;
  Communicator& communicator_;
  Trace* trace_;
  Config config_;
  RunParts parts_;
  fs::path folder_;
  FileLayer files_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Log> log_;
  nlohmann::json facts_;
};

}  // namespace

int train(const TrainRequest& request) {
  keep_freed_memory();
  std::optional<Device> device;
  std::optional<Trace> trace;
  const auto prepare = [&](const World& world, CommOptions& comm) {
    install_stop_signals();
    comm.stop_requested = &stop_requested();
    // The watchdog needs its limits before the parts exist.
    Config config = Config::load(request.config_path, request.overrides);
    const CommLimits limits = CommLimits::from(config.root().child("comm"));
    comm.timeout_s = limits.timeout_s;
    comm.term_grace_s = limits.term_grace_s;
    comm.may_share_device = limits.may_share_device;
    const bool is_deterministic = config.root().boolean("deterministic", true);
    device = Device::open(config.root().choice("device", "cpu", {"cpu", "cuda"}), world, is_deterministic);
    if (request.profile_steps > 0) comm.trace = &trace.emplace(device->ranges());
  };
  const auto body = [&](World& world, Communicator& communicator) {
    return Run(request, world, *device, communicator, trace ? &*trace : nullptr).execute();
  };
  const auto connect = [&](const World& world, const CommOptions& comm) {
    return device->make_communicator(world, comm);
  };
  return run_in_world({.body = body, .prepare = prepare, .connect = connect});
}

std::string check_config(const std::string& config_path, const std::vector<std::string>& overrides, bool with_origin) {
  Config config = Config::load(config_path, overrides);
  const RunParts parts(config, config_path, {});
  return config.resolved(with_origin);
}

}  // namespace rehearse
