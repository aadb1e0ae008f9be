#include "trainer/examine/doctor_run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "data/speech/overlap.h"
#include "trainer/base/printable.h"
#include "trainer/base/table.h"
#include "trainer/device/device.h"
#include "trainer/engine/evaluator.h"
#include "trainer/engine/heaviest_batch.h"
#include "trainer/engine/learning_doubts.h"
#include "trainer/engine/session.h"
#include "trainer/engine/text_report.h"
#include "trainer/engine/train_parts.h"
#include "trainer/examine/doctor_data.h"
#include "trainer/examine/doctor_system.h"
#include "trainer/examine/doctor_vocabulary.h"

namespace rehearse {
namespace {

constexpr size_t kListed = 5;             // problems shown of each kind
constexpr double kMostMemoryShare = 0.8;  // of the machine, for all its ranks, before it is a warning

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void title(const std::string& text) {
  std::cout << "\n== " << text << "\n";
}

class Doctor {
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
    Recognizer recognizer(config, load_tokenizer(options_.tokenizer), options_.seed);
    hop_s_ = config.root().child("features").number("hop_ms", 10, {0.1, 1000}) / 1000;
    check_model(recognizer);
    check_data(recognizer);
    if (!is_without_data_) try_batches();
    return verdict();
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

  void check_model(Recognizer& recognizer) {
    title("model");
    TextTable table({{"block", TextTable::kLeft},
                     {"type", TextTable::kLeft},
                     {"frames of 10 s"},
                     {"become"},
                     {"channels"},
                     {"parameters"}});
    for (const auto& row : recognizer.task().describe()) table.add_row(row);
    const auto parameters = static_cast<uint64_t>(recognizer.arena().num_parameters());
    table.add_rule();
    table.add_row({"all", "", "", "", "", std::to_string(parameters)});
    std::cout << table.text()
              << concat("one output frame every ", 1000 * recognizer.task().seconds_per_frame(), " ms; ",
                        recognizer.tokenizer().size(), " tokens and the blank\n");
    // Weights and two moments of each, then the sampler's table; one more than is kept while a new one is written.
    const uint64_t one = parameters * 3 * sizeof(float) + (4 << 20);
    const uint64_t all = one * static_cast<uint64_t>(options_.keep_last + 2);
    std::cout << concat("checkpoints: about ", bytes_text(one), " each, ", bytes_text(all), " for ", options_.keep_last,
                        " of them, the best and the next; ", bytes_text(facts_.free_disk_bytes), " free\n");
    if (all > facts_.free_disk_bytes)
      refuse(kExitConfig, concat("checkpoints need about ", bytes_text(all), "; ", facts_.disk.string(), " has ",
                                 bytes_text(facts_.free_disk_bytes)));
  }

  void check_data(Recognizer& recognizer) {
    const auto frames = [&](double duration_s) { return recognizer.task().output_frames(duration_s); };
    std::vector<ManifestCheck> train, valid;
    for (const std::string& path : options_.train_manifests)
      train.push_back(
          check_manifest(path, recognizer.normalizer(), recognizer.tokenizer(), options_.corpus, frames, threads_));
    Corpus::Options whole = options_.corpus;  // an evaluation set is scored whole
    whole.drop_infeasible = false;
    whole.drop_textless = false;
    whole.max_duration_s = 3600;
    for (const std::string& path : options_.valid_manifests)
      valid.push_back(check_manifest(path, recognizer.normalizer(), recognizer.tokenizer(), whole, nullptr, threads_));
    title("data");
    for (const auto* checks : {&train, &valid})
      for (const ManifestCheck& check : *checks) report(check);
    judge_training_data(train, valid, recognizer);
    report_long(valid);
    judge_overlap(train, valid);
    if (request_.list_path.empty()) return;
    FileLayer files;
    replace_text(files, request_.list_path, problems_list(train) + problems_list(valid));
    std::cout << "all findings: " << request_.list_path << "\n";
  }

  void report(const ManifestCheck& check) {
    std::cout << printable_lines(problems_text(check, kListed));
    if (!check.failure.empty()) refuse(kExitData, check.failure);
    const auto bad = static_cast<size_t>(
        std::count_if(check.problems.begin(), check.problems.end(), [](const auto& one) { return one.is_audio; }));
    if (bad > 0)
      warn(concat(check.manifest, ": ", bad, " audio files are unreadable or suspect (", check.num_silent,
                  " of them silent)"));
    if (check.problems.size() > bad)
      warn(concat(check.manifest, ": ", check.problems.size() - bad, " utterances do not suit this run"));
  }

  static void report_long(const std::vector<ManifestCheck>& checks) {
    for (const ManifestCheck& check : checks) {
      const auto count = std::ranges::count_if(
          check.usable, [](const Corpus::Item& item) { return item.utterance.duration_s > kWholeUpTo_s; });
      if (count > 0)
        std::cout << concat(check.manifest, ": ", count, " utterances are longer than ", kWholeUpTo_s,
                            " s; they are computed in windows, as `rehearse transcribe` does\n");
    }
  }

  void judge_training_data(const std::vector<ManifestCheck>& train, const std::vector<ManifestCheck>& valid,
                           Recognizer& recognizer) {
    size_t usable = 0;
    for (const ManifestCheck& check : train) usable += check.usable.size();
    is_without_data_ = usable == 0;
    if (is_without_data_) refuse(kExitData, "no utterance of the training data can be used");
    for (const std::string& line : excessive_losses(train, options_.corpus.max_rejected_share)) refuse(kExitData, line);
    report_texts(train, TextUse::kLearned, recognizer.normalizer());
    report_texts(valid, TextUse::kScored, recognizer.normalizer());
    title("durations of usable training data");
    std::cout << durations_text(train);
    title(concat(
        "CTC: training texts that do not fit, tokens and repeats > frames of an encoder of that stride; this model: "
        "its own, one every ",
        1000 * recognizer.task().seconds_per_frame(), " ms"));
    std::vector<SpokenLine> lines;
    for (const ManifestCheck& check : train)
      if (check.failure.empty()) add_lines(check.manifest, recognizer.normalizer(), lines);
    if (!lines.empty())
      std::cout << feasibility_text(lines, recognizer.tokenizer(), hop_s_,
                                    [&](double duration_s) { return recognizer.task().output_frames(duration_s); });
  }

  void judge_overlap(const std::vector<ManifestCheck>& train, const std::vector<ManifestCheck>& valid) {
    constexpr size_t kMostReads = 100000;  // the whole of most corpora: every file was decoded above anyway
    const auto items = [](const std::vector<ManifestCheck>& checks) {
      std::vector<const Corpus::Item*> all;
      for (const ManifestCheck& check : checks)
        for (const Corpus::Item& item : check.usable) all.push_back(&item);
      return all;
    };
    if (valid.empty()) return;
    title("training and validation");
    const SetOverlap overlap = find_overlap(items(train), items(valid), AudioReaders(), kMostReads);
    std::cout << overlap.text() << "\n";
    if (overlap.is_found()) warn(overlap.text());
  }

  void report_texts(const std::vector<ManifestCheck>& checks, TextUse use, const Normalizer& normalizer) {
    TextLosses losses;
    for (const ManifestCheck& check : checks) losses += check.losses;
    const std::string set = use == TextUse::kLearned ? "training: " : "validation: ";
    for (const std::string& line : text_warnings(losses, use)) warn(set + line);
    for (const std::string& line : annotation_notes(losses, normalizer)) std::cout << set << line << "\n";
  }

  // Of all lines with text, whether usable or not.
  static void add_lines(const std::string& manifest, const Normalizer& normalizer, std::vector<SpokenLine>& lines) {
    for (const Utterance& utterance : read_manifest(manifest)) {
      try {
        std::string text = normalizer(utterance.text, utterance.lang);
        if (!text.empty()) lines.push_back({utterance.domain, std::move(text), utterance.duration_s});
      } catch (const DataError&) {  // listed above as unreadable
      }
    }
  }

  // The run's own parts; losses were judged above, so they are not judged again.
  void try_batches() {
    std::vector<std::string> overrides = request_.overrides;
    overrides.push_back(concat("data.max_rejected_share=", 1));
    try {
      Config config = Config::load(request_.config_path, overrides);
      RunParts parts(config, request_.config_path, {.device = device_});
      title("learning");
      judge_learning(parts);
      title("the heaviest batches, forward and backward");
      MicroBatch planned;
      for (int step = 0; step < options_.batch.window_steps; ++step)
        for (MicroBatch& batch : parts.planner->next().micro_batches)
          if (padded_cost(parts.dataset, batch) > padded_cost(parts.dataset, planned)) planned = std::move(batch);
      time_batch("heaviest of the first window", parts, planned);
      time_batch("longest utterances", parts, heaviest_batch(parts.dataset, options_.batch));
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

  // Whether this corpus can teach this vocabulary to this model.
  void judge_learning(RunParts& parts) {
    const auto material = LearningMaterial::of(parts.corpus->items(), parts.recognizer->tokenizer(),
                                               static_cast<uint64_t>(parts.recognizer->arena().num_parameters()));
    std::cout << "to learn from: " << material_text(material) << "\n";
    for (const std::string& line : learning_doubts(material)) warn(line);
  }

  void time_batch(const std::string& name, RunParts& parts, const MicroBatch& plan) {
    const std::unique_ptr<Batch> batch = parts.loading->load(plan);
    TaskOutput output;
    double took_s = 0;
    for (int round = 0; round < 2; ++round) {  // the first one also pays for fresh memory
      const double start = now_s();
      output = try_batch({options_, *parts.recognizer}, *batch);
      took_s = now_s() - start;
    }
    const double padded_s = padded_cost(parts.dataset, plan);
    double loss = 0;
    for (double one : output.losses) loss += one;
    char text[256];
    std::snprintf(text, sizeof text,
                  "%s: %zu utterances, %.1f padded s: %.2f s (%.0f s of audio per second), loss %.1f per token, peak "
                  "memory %s\n",
                  name.c_str(), plan.draws.size(), padded_s, took_s, padded_s / took_s,
                  loss / std::max(1.0, output.normalizer), bytes_text(peak_memory_bytes()).c_str());
    std::cout << text << std::flush;
    if (!std::isfinite(loss)) refuse(kExitData, name + ": the loss is not finite");
  }

  void warn(const std::string& text) { warnings_.push_back(text); }
  void refuse(int exit_code, const std::string& text) {
    if (exit_code_ == kExitOk) exit_code_ = exit_code;
    refusals_.push_back(text);
  }

  int verdict() const {
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
  double hop_s_ = 0.01;
  bool is_without_data_ = false;
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
