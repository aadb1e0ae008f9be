#include <CLI/CLI.hpp>
#include <utility>

#include "trainer/base/error.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"
#include "trainer/engine/exchange/comm_bench_run.h"
#include "trainer/examine/infer_bench.h"

namespace rehearse {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 30;  // MPI counts are int

class BenchCommand : public Command {
 public:
  std::string summary() const override {
    return "time the collectives of training between the ranks of a launch, or the answers of a model";
  }
  std::string examples() const override {
    return "  launch/run.sh -n 2 -- bench comm\n"
           "  launch/run.sh -n 4 --hosts node1:2,node2:2 -- bench comm --min 1K --max 256M --json comm.json\n"
           "  launch/run.sh -n 2 -- bench comm --device cuda --iterations 50\n"
           "  rehearse bench infer runs/quickstart --threads 1\n"
           "  rehearse bench infer configs/quickstart.yaml --batch 8 --seconds 5 --precision bfloat16\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("WHAT", what_, "comm: all_reduce, broadcast and all_gather, by size; infer: a model's answers")
        ->required()
        ->check(CLI::IsMember({"comm", "infer"}));
    app.add_option("--iterations", iterations_, "timed calls for each size, or timed passes")
        ->check(whole_between(1, 1000000))
        ->capture_default_str();
    app.add_option("--json", json_path_, "write all figures here");
    declare_comm(app);
    declare_infer(app);
  }
  int run() override {
    for (const auto& [bench, option] : owned_)
      if (bench != what_ && option->count() > 0)
        throw ConfigError("bench ", what_, ": expected no ", option->get_name(false, true),
                          "; found one; it belongs to bench ", bench);
    return what_ == "comm" ? comm() : infer();
  }

 private:
  CLI::Option* owned(const char* bench, CLI::Option* option) {
    owned_.emplace_back(bench, option);
    return option;
  }

  void declare_comm(CLI::App& app) {
    CommBenchOptions& options = comm_.options;
    owned("comm", app.add_option("--min", options.min_bytes, "comm: smallest size in bytes, such as 8 or 4K"))
        ->transform(CLI::AsSizeValue(false))
        ->check(whole_between(4, kMaxBytes))
        ->capture_default_str();
    owned("comm", app.add_option("--max", options.max_bytes, "comm: largest size"))
        ->transform(CLI::AsSizeValue(false))
        ->check(whole_between(4, kMaxBytes))
        ->capture_default_str();
    owned("comm", app.add_option("--factor", options.factor, "comm: each size is this many times the one before"))
        ->check(whole_between(2, 1 << 20))
        ->capture_default_str();
    owned("comm", app.add_option("--device", comm_.device, "comm: where all_reduce finds its values: cpu or cuda"))
        ->check(CLI::IsMember({"cpu", "cuda"}))
        ->capture_default_str();
  }

  void declare_infer(CLI::App& app) {
    owned("infer", app.add_option("MODEL", infer_.path, "infer: YAML file of a run, or a checkpoint or run folder"));
    owned("infer", app.add_option("--set", infer_.overrides, "infer: key=value over the file (repeatable)"))
        ->allow_extra_args(false);
    owned("infer", app.add_option("--seconds", infer_.seconds, "infer: of audio in each utterance (15)"))
        ->check(number_between(0.1, 3600));
    owned("infer", app.add_option("--batch", infer_.batch, "infer: utterances or pictures at once"))
        ->check(whole_between(1, 1 << 20))
        ->capture_default_str();
    owned("infer", app.add_option("--threads", infer_.threads, "infer: of the CPU; without it all that are free"))
        ->check(whole_between(1, 4096));
    owned("infer", app.add_option("--precision", infer_.precision, "infer: of products: float32, bfloat16 or float16"))
        ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
        ->capture_default_str();
  }

  int comm() {
    if (comm_.options.max_bytes < comm_.options.min_bytes)
      throw ConfigError("--max: expected at least --min, ", comm_.options.min_bytes, " bytes; found ",
                        comm_.options.max_bytes);
    comm_.options.iterations = iterations_;
    comm_.json_path = json_path_;
    return bench_comm(comm_);
  }

  int infer() {
    if (infer_.path.empty())
      throw ConfigError("bench infer: expected a configuration, checkpoint or run folder; found none");
    infer_.iterations = iterations_;
    infer_.json_path = json_path_;
    return bench_infer(infer_);
  }

  std::string what_, json_path_;
  int iterations_ = CommBenchOptions().iterations;
  CommBenchRequest comm_;
  InferBenchRequest infer_;
  std::vector<std::pair<std::string, CLI::Option*>> owned_;
};

REHEARSE_COMMAND("bench", BenchCommand);

}  // namespace
}  // namespace rehearse
