#include <CLI/CLI.hpp>

#include "trainer/base/error.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"
#include "trainer/engine/exchange/comm_bench_run.h"

namespace rehearse {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 30;  // MPI counts are int

class BenchCommand : public Command {
 public:
  std::string summary() const override { return "time the collectives of training between the ranks of a launch"; }
  std::string examples() const override {
    return "  launch/run.sh -n 2 -- bench comm\n"
           "  launch/run.sh -n 4 --hosts node1:2,node2:2 -- bench comm --min 1K --max 256M --json comm.json\n"
           "  launch/run.sh -n 2 -- bench comm --device cuda --iterations 50\n";
  }
  void declare(CLI::App& app) override {
    CommBenchOptions& options = request_.options;
    app.add_option("WHAT", what_, "comm: all_reduce, broadcast and all_gather, by size")
        ->required()
        ->check(CLI::IsMember({"comm"}));
    app.add_option("--min", options.min_bytes, "smallest size in bytes, such as 8 or 4K")
        ->transform(CLI::AsSizeValue(false))
        ->check(whole_between(4, kMaxBytes))
        ->capture_default_str();
    app.add_option("--max", options.max_bytes, "largest size")
        ->transform(CLI::AsSizeValue(false))
        ->check(whole_between(4, kMaxBytes))
        ->capture_default_str();
    app.add_option("--factor", options.factor, "each size is this many times the one before")
        ->check(whole_between(2, 1 << 20))
        ->capture_default_str();
    app.add_option("--iterations", options.iterations, "timed calls for each size")
        ->check(whole_between(1, 1000000))
        ->capture_default_str();
    app.add_option("--device", request_.device, "where all_reduce finds its values: cpu or cuda")
        ->check(CLI::IsMember({"cpu", "cuda"}))
        ->capture_default_str();
    app.add_option("--json", request_.json_path, "write all figures here");
  }
  int run() override {
    if (request_.options.max_bytes < request_.options.min_bytes)
      throw ConfigError("--max: expected at least --min, ", request_.options.min_bytes, " bytes; found ",
                        request_.options.max_bytes);
    return bench_comm(request_);
  }

 private:
  std::string what_;
  CommBenchRequest request_;
};

REHEARSE_COMMAND("bench", BenchCommand);

}  // namespace
}  // namespace rehearse
