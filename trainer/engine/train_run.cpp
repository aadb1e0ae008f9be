#include "trainer/engine/train_run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <malloc.h>

#include <fstream>
#include <limits>
#include <optional>

#include "models/ops/products/product.h"
#include "trainer/base/text/json_fields.h"
#include "trainer/checkpoint/checkpoint_report.h"
#include "trainer/comm/world.h"
#include "trainer/device/device.h"
#include "trainer/engine/exchange/products.h"
#include "trainer/engine/exchange/tensor_collectives.h"
#include "trainer/engine/guards/last_words.h"
#include "trainer/engine/guards/stop_signal.h"
#include "trainer/engine/resume.h"
#include "trainer/engine/run_facts.h"
#include "trainer/engine/session.h"
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
  mallopt(M_MXFAST, 0);  // small pieces unite at once, not all of them whenever a large one is freed
}

std::string first_line_of(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
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
    threads_ = parts_.options.threads > 0 ? parts_.options.threads : device_.host_threads(world_);
    at::set_num_threads(threads_);
    products_line_ = choose_products(communicator_, config_.root().boolean("deterministic", true));
    facts_ = gather_facts();
    open_folder();
    run_log_.emplace(RunLog::Options{world_.rank() != 0, folder_, parts_.options.log_every_s}, *log_, task().terms());
    replay_ = open_replay();
    if (trace_)
      profile_.emplace(Profile::Options{folder_, world_.rank(), world_.size(), request_.profile_steps}, *trace_);
    trainer_.emplace(trainer_parts());
    const std::optional<Resumed> resumed = find_start();
    begin(resumed ? resumed->step : 0);
    say_start(resumed);
    if (resumed && trainer_->is_done()) return kExitOk;
    const int code = trainer_->run();
    if (profile_)
      if (const std::string line = profile_->finish(); !line.empty()) log_->info(line);
    return code;
  }

 private:
  TrainerParts trainer_parts() {
    std::map<std::string, std::string> files = task().files();
    files["config.yaml"] = config_.resolved();
    return {parts_.options,
            *parts_.model,
            *parts_.training,
            parts_.validation.get(),
            *parts_.sampler,
            *parts_.planner,
            *parts_.optimizer,
            *parts_.schedule,
            communicator_,
            *run_log_,
            nullptr,
            replay_.get(),
            std::move(files),
            facts_,
            profile_ ? &*profile_ : nullptr};
  }

  // What all checkpoints of this start say about it. Collective: the machines of all ranks are in it.
  nlohmann::json gather_facts() {
    nlohmann::json more = {{"kernels", at::get_cpu_capability()}, {"products", name_of(product_library())}};
    if (!device_.is_cpu()) more["gpu"] = device_.description() + "; " + first_line_of("/proc/driver/nvidia/version");
    const std::string own = machine_facts(more).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const auto view = std::as_bytes(std::span(own));
    nlohmann::json machines = nlohmann::json::array();
    for (const auto& bytes : communicator_.all_gather({view.begin(), view.end()}, "all_gather (machines)").get())
      machines.push_back(nlohmann::json::parse(reinterpret_cast<const char*>(bytes.data()),
                                               reinterpret_cast<const char*>(bytes.data()) + bytes.size()));
    nlohmann::json facts = {{"trajectory_hash", trajectory_hash(config_)},
                            {"threads", threads_},
                            {"ranks", world_.size()},
                            {"device", parts_.options.device},
                            {"versions", request_.versions},
                            {"machines", machines},
                            {"corpus", dataset().hash()}};
    facts.update(task().facts());
    return facts;
  }

  std::optional<Resumed> find_start() {
    if (request_.resume.empty()) return std::nullopt;
    return resume({.from = request_.resume,
                   .is_strict = request_.strict_resume,
                   .run = folder_,
                   .config = config_,
                   .facts = facts_,
                   .check = world_.local_rank() == 0 ? Check::kChecksums : Check::kSizes,
                   .load = [this](const LoadedCheckpoint& checkpoint) { trainer_->load(checkpoint); }},
                  communicator_, *log_);
  }

  // From here on the folder is that of this start.
  void begin(uint64_t step) {
    if (world_.rank() == 0) replace_text(files_, folder_ / "config.yaml", config_.resolved());  // it fits the run
    run_log_->begin(step);
    if (world_.rank() == 0) note_last_words(folder_ / "metrics.jsonl");
    set_last_words_step(step);
    describe(step);
    if (!parts_.options.log_observations || world_.rank() != 0) return;
    observation_log_.emplace(folder_ / "observations.jsonl", step);
    trainer_->write_observations(*observation_log_);
  }

  void say_start(const std::optional<Resumed>& resumed) {
    const bool is_asked = !request_.resume.empty();
    if (resumed) {
      run_log_->note(resumed->step, concat("resumed from ", resumed->path.string()));
      if (!request_.init.empty()) run_log_->note(resumed->step, "--init is not used: the run goes on where it was");
      if (trainer_->is_done()) run_log_->note(resumed->step, trainer_->why_done());
      return;
    }
    if (is_asked) run_log_->note(0, concat("nothing to resume in ", folder_.string(), ": training begins anew"));
    if (!request_.init.empty()) run_log_->note(0, initialize_from(request_.init));
    measure_unknown();
  }

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
    const fs::path log = folder_ / "log" / concat("rank-", world_.rank(), ".log");
    log_ = std::make_unique<Log>(Log::Options{log.string(), world_.rank(), world_.rank() == 0});
    keep_last_words(log, world_.rank());
  }

  // Weights and what is known about utterances; returns a sentence for the log.
  std::string initialize_from(const std::string& path) {
    const LoadedCheckpoint checkpoint =
        load_for_use(path, world_.local_rank() == 0 ? Check::kChecksums : Check::kSizes);
    std::string said = concat("started from the weights of ", describe_choice(path, checkpoint));
    if (const std::string more = parts_.model->adopt(checkpoint); !more.empty()) said += "; " + more;
    if (checkpoint.state.arrays.contains("sampler.ids"))
      parts_.sampler->import_table(checkpoint.state, checkpoint.state.array<uint64_t>("sampler.ids"), dataset().ids);
    return said;
  }

  // What the sampler has to know before its first draw and no earlier run has left.
  void measure_unknown() {
    const std::vector<uint32_t> wanted = parts_.sampler->unmeasured();
    if (wanted.empty()) return;
    std::vector<Sampler::Measured> measured;
    const ScoringOptions scoring{.batch_cost = parts_.options.validation_batch,
                                 .loader_threads = parts_.options.loader_threads,
                                 .examples = wanted};
    for (const ExampleScore& score : score_set(task(), *parts_.training, scoring, communicator_))
      if (score.failure.empty()) measured.push_back({score.example, score.error});
    for (const std::string& line : parts_.sampler->measure(measured)) run_log_->note(0, line);
  }

  void describe(uint64_t step) {
    log_->info(request_.version_text);
    log_->info("run folder ", folder_.string(), "; ", world_.size(), " rank(s), ", threads_, " thread(s) each, ",
               parts_.options.device, device_.is_cpu() ? "; " : " (" + device_.description() + "); ",
               parts_.model->arena().num_parameters(), " parameters");
    if (const std::string path = communicator_.description(); !path.empty()) log_->info("sums over ranks: ", path);
    if (device_.is_cpu()) log_->info(products_line_);
    const Precision precision = parts_.options.precision;
    std::ifstream cpu("/proc/cpuinfo");
    const bool has_instructions = has_instructions_for(precision, {std::istreambuf_iterator<char>(cpu), {}});
    if (const std::string warning = precision_warning(precision, device_.torch(), has_instructions); !warning.empty())
      log_->warn(warning);
    say_data();
    for (const std::string& line : parts_.sampler->notes()) log_->info(line);
    StartMetrics start;
    start.step = step;
    start.config_hash = facts_.at("trajectory_hash");
    start.device = parts_.options.device;
    start.ranks = static_cast<uint64_t>(world_.size());
    start.threads = static_cast<uint64_t>(threads_);
    start.versions = request_.versions;
    start.task = task().terms().task;
    if (world_.rank() == 0) say_task_remarks(start.task_facts);
    run_log_->start(start);
  }

  void say_data() {
    const TaskTerms& terms = task().terms();
    std::string size;
    if (!terms.size_mark.empty()) size = concat(", ", dataset().total_cost * terms.size_per_cost, " ", terms.size_mark);
    log_->info(dataset().size(), " ", terms.examples, size, " in ", dataset().domains.size(), " domain(s); ",
               dataset().rejections.size(), " left out",
               dataset().rejections.empty() ? "" : " (listed in log/rank-0.log and by rehearse doctor)");
    if (world_.rank() != 0) return;
    for (const Rejection& rejection : dataset().rejections)
      log_->detail("left out: ", rejection.name, ": ", rejection.reason);
    if (!parts_.validation || parts_.validation->dataset.rejections.empty()) return;
    const std::vector<Rejection>& lost = parts_.validation->dataset.rejections;
    log_->warn("validation: ", lost.size(), " ", terms.examples, " are left out, e.g. ", lost[0].name, ": ",
               lost[0].reason);
  }

  void say_task_remarks(nlohmann::json& line) {
    const auto parameters = static_cast<uint64_t>(parts_.model->arena().num_parameters());
    for (const Remark& remark : task().start_remarks(*parts_.training, parts_.validation.get(), parameters, line)) {
      if (remark.level == Remark::kWarning) log_->warn(remark.text);
      if (remark.level == Remark::kInfo) log_->info(remark.text);
      if (remark.level == Remark::kDetail) log_->detail(remark.text);
    }
  }

  Task& task() { return parts_.model->task(); }
  const Dataset& dataset() const { return parts_.training->dataset; }

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
  int threads_ = 1;
  std::string products_line_;
  nlohmann::json facts_;
  std::optional<RunLog> run_log_;
  std::unique_ptr<ObservationReplay> replay_;
  std::optional<ObservationWriter> observation_log_;
  std::optional<Profile> profile_;
  std::optional<Trainer> trainer_;  // last: it uses all the others
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
  // Outlives an exception: collectives in flight use its memory until the process ends, and what is being written must
  // not hold up the news.
  std::unique_ptr<Run> run;
  const auto body = [&](World& world, Communicator& communicator) {
    run = std::make_unique<Run>(request, world, *device, communicator, trace ? &*trace : nullptr);
    const int code = run->execute();
    run.reset();
    return code;
  };
  const auto connect = [&](const World& world, const CommOptions& comm) {
    return device->make_communicator(world, comm);
  };
  return run_in_world({.body = body, .prepare = prepare, .connect = connect});
}

uint64_t newest_step(const TrainRequest& request) {
  Config config = Config::load(request.config_path, request.overrides);
  const auto all = list_checkpoints(fs::path(run_folder(config, request.config_path)) / "checkpoints");
  return all.empty() ? 0 : *step_of(all.front());
}

std::string check_config(const std::string& config_path, const std::vector<std::string>& overrides, bool with_origin) {
  Config config = Config::load(config_path, overrides);
  const RunParts parts(config, config_path, {});
  return config.resolved(with_origin);
}

}  // namespace rehearse
