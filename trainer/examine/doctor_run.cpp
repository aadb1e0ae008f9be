#include "trainer/examine/doctor_run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "trainer/base/text/printable.h"
#include "trainer/base/text/table.h"
#include "trainer/device/device.h"
#include "trainer/engine/guards/heaviest_batch.h"
#include "trainer/engine/session.h"
#include "trainer/engine/train_parts.h"
#include "trainer/examine/doctor_system.h"

namespace rehearse {
namespace {

constexpr double kMostMemoryShare = 0.8;  // of the machine, for all its ranks, before it is a warning

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Doctor : public Findings {
 public:
  Doctor(const DoctorRequest& request, const World& world) : request_(request), world_(world) {}

  int examine() {
    Config config = Config::load(request_.config_path, request_.overrides);
    options_ = RunOptions::from(config, request_.config_path);
    threads_ = options_.threads > 0 ? options_.threads : world_.fair_threads();
    at::set_num_threads(threads_);
    facts_ = system_facts(options_.folder);
    title("machine");
    std::cout << system_text(facts_, world_, threads_, request_.versions);
    open_device(config.root().boolean("deterministic", true));
    check_machine();
    Model model(config, options_.seed);
    check_model(model);
    if (model.task().examine(*this, threads_, request_.list_path)) try_batches();
    return verdict();
  }

  void title(const std::string& text) override { std::cout << "\n== " << text << "\n"; }
  void text(const std::string& lines) override { std::cout << lines; }
  void warn(const std::string& line) override { warnings_.push_back(line); }
  void refuse(int exit_code, const std::string& line) override {
    if (exit_code_ == kExitOk) exit_code_ = exit_code;
    refusals_.push_back(line);
  }

 private:
  void check_machine() {
    if (options_.batch.micro_batches % world_.size() != 0)
      refuse(kExitConfig, concat("batch.micro_batches (", options_.batch.micro_batches, ") is no multiple of the ",
                                 world_.size(), " ranks"));
    if (world_.local_size() * threads_ > facts_.machine_cores)
      warn(concat(world_.local_size(), " ranks of ", threads_, " threads share the ", facts_.machine_cores,
                  " cores of this machine; lower `threads` or the ranks"));
    if (world_.local_size() * facts_.cores < facts_.machine_cores)
      warn(concat("this rank is bound to ", facts_.cores, " of ", facts_.machine_cores,
                  " cores and others stay idle; start it by launch/run.sh or with mpirun --bind-to none"));
  }

  // As training opens it. Where it cannot be opened the rest is looked at on the CPU.
  void open_device(bool is_deterministic) {
    try {
      const Device device = Device::open(options_.device, world_, is_deterministic);
      device_ = device.torch();
      if (!device.is_cpu()) std::cout << "device: " << device.description() << "\n";
    } catch (const Error& failure) {
      refuse(kExitConfig, concat(failure.what(), " (this machine shows ", facts_.num_gpus, " GPUs)"));
    }
  }

  void check_model(Model& model) {
    title("model");
    TextTable table(
        {{"block", TextTable::kLeft}, {"type", TextTable::kLeft}, {"input"}, {"output"}, {"channels"}, {"parameters"}});
    for (const auto& row : model.task().describe()) table.add_row(row);
    const auto parameters = static_cast<uint64_t>(model.arena().num_parameters());
    table.add_rule();
    table.add_row({"all", "", "", "", "", std::to_string(parameters)});
    std::cout << table.text();
    if (const std::string note = model.task().describe_note(); !note.empty()) std::cout << note << "\n";
    // Weights and two moments of each, then the sampler's table; one more than is kept while a new one is written.
    const uint64_t one = parameters * 3 * sizeof(float) + (4 << 20);
    const uint64_t all = one * static_cast<uint64_t>(options_.keep_last + 2);
    std::cout << concat("checkpoints: about ", bytes_text(one), " each, ", bytes_text(all), " for ", options_.keep_last,
                        " of them, the best and the next; ", bytes_text(facts_.free_disk_bytes), " free\n");
    if (all > facts_.free_disk_bytes)
      refuse(kExitConfig, concat("checkpoints need about ", bytes_text(all), "; ", facts_.disk.string(), " has ",
                                 bytes_text(facts_.free_disk_bytes)));
  }

  // The run's own parts; losses were judged above, so they are not judged again.
  void try_batches() {
    std::vector<std::string> overrides = request_.overrides;
    overrides.push_back(concat("data.max_rejected_share=", 1));
    try {
      Config config = Config::load(request_.config_path, overrides);
      RunParts parts(config, request_.config_path, {.device = device_});
      parts.model->task().judge_learning(*parts.training, static_cast<uint64_t>(parts.model->arena().num_parameters()),
                                         *this);
      title("the heaviest batches, forward and backward");
      MicroBatch planned;
      for (int step = 0; step < options_.batch.window_steps; ++step)
        for (MicroBatch& batch : parts.planner->next().micro_batches)
          if (padded_cost(parts.training->dataset, batch) > padded_cost(parts.training->dataset, planned))
            planned = std::move(batch);
      time_batch("heaviest of the first window", parts, planned);
      time_batch("largest " + parts.model->task().terms().examples, parts,
                 heaviest_batch(parts.training->dataset, options_.batch));
    } catch (const CommError& failure) {  // the device has too little memory
      refuse(kExitConfig, failure.what());
    } catch (const Error& failure) {
      refuse(failure.exit_code(), failure.what());
    }
    const uint64_t peak = peak_memory_bytes() * static_cast<uint64_t>(world_.local_size());
    if (static_cast<double>(peak) > kMostMemoryShare * static_cast<double>(facts_.memory_bytes))
      warn(concat(world_.local_size(), " ranks need about ", bytes_text(peak), " of memory; this machine has ",
                  bytes_text(facts_.memory_bytes)));
  }

  void time_batch(const std::string& name, RunParts& parts, const MicroBatch& plan) {
    const std::unique_ptr<Batch> batch = parts.training->load(plan, {});
    TaskOutput output;
    double took_s = 0;
    for (int round = 0; round < 2; ++round) {  // the first one also pays for fresh memory
      const double start = now_s();
      output = try_batch({options_, *parts.model}, *batch);
      took_s = now_s() - start;
    }
    const double padded = padded_cost(parts.training->dataset, plan);
    double loss = 0;
    for (const ExampleResult& one : output.examples) loss += one.loss;
    const TaskTerms& terms = parts.model->task().terms();
    char text[256];
    std::snprintf(text, sizeof text, "%s: %zu %s, %.1f padded %s: %.2f s (%.0f %s), loss %.1f %s, peak memory %s\n",
                  name.c_str(), plan.draws.size(), terms.examples.c_str(), padded, terms.cost_key.c_str(), took_s,
                  padded / took_s, terms.speed_title.c_str(), loss / std::max(1.0, output.normalizer),
                  terms.loss_hint.c_str(), bytes_text(peak_memory_bytes()).c_str());
    std::cout << text << std::flush;
    if (!std::isfinite(loss)) refuse(kExitData, name + ": the loss is not finite");
  }

  int verdict() {
    title("verdict");
    for (const std::string& line : warnings_) std::cout << "warning: " << printable(line) << "\n";
    for (const std::string& line : refusals_) std::cout << "will not work: " << printable(line) << "\n";
    if (!refusals_.empty())
      std::cout << "will not work: " << refusals_.size() << " reason(s), " << warnings_.size() << " warning(s)\n";
    else if (!warnings_.empty())
      std::cout << "ok with " << warnings_.size() << " warning(s): training can begin\n";
    else
      std::cout << "ok: training can begin\n";
    return exit_code_;
  }

  const DoctorRequest& request_;
  const World& world_;
  RunOptions options_;
  SystemFacts facts_;
  at::Device device_ = at::kCPU;
  int threads_ = 1;
  std::vector<std::string> warnings_, refusals_;
  int exit_code_ = kExitOk;
};

}  // namespace

int doctor(const DoctorRequest& request) {
  const auto body = [&](World& world, Communicator&) {
    return world.rank() == 0 ? Doctor(request, world).examine() : static_cast<int>(kExitOk);
  };
  const auto prepare = [&](const World& world, CommOptions& comm) {
    comm.timeout_s = 1e6;  // the other ranks wait for the one that looks
    if (world.rank() == 0) expect_writable("--list", request.list_path);
  };
  return run_in_world({.body = body, .prepare = prepare});
}

}  // namespace rehearse
