#include <CLI/CLI.hpp>

#include "trainer/commands/command.h"
#include "trainer/commands/manifest_option.h"
#include "trainer/commands/number_checks.h"
#include "trainer/engine/evaluate/evaluate_run.h"

namespace rehearse {
namespace {

class EvaluateCommand : public Command {
 public:
  std::string summary() const override {
    return "score a checkpoint on manifests: CER and WER, or its task's figures, with intervals";
  }
  std::string examples() const override {
    return "  rehearse evaluate runs/quickstart --manifest phone/valid.jsonl,studio/valid.jsonl\n"
           "  rehearse evaluate runs/quickstart --step 1200 --manifest valid.jsonl --json after.json\n"
           "  launch/run.sh -n 4 -- evaluate runs/quickstart --manifest valid.jsonl --hypotheses said.jsonl\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("CHECKPOINT", request_.checkpoint,
                   "checkpoint, or run folder (its best checkpoint, else its newest)")
        ->required();
    add_manifest_option(app, request_.manifests, "manifests to score, separated by commas (repeatable)")->required();
    app.add_option("--step", request_.step, "of a run folder, take the checkpoint of this step")->check(at_least(0));
    app.add_option("--json", request_.json_path, "write all figures here, for `rehearse report --before/--after`");
    app.add_option("--hypotheses,--answers", request_.answers_path,
                   "write every example with its answer here, as JSON Lines");
    app.add_option("--device", request_.device, "where it is computed: cpu or cuda")
        ->check(CLI::IsMember({"cpu", "cuda"}))
        ->capture_default_str();
    app.add_option("--batch-seconds,--batch-cost", request_.batch_cost,
                   "computed at once: padded seconds of audio, or what else an example costs in its task")
        ->check(number_between(1.0, 1e5))
        ->capture_default_str();
  }
  int run() override { return evaluate(request_); }

 private:
  EvaluateRequest request_;
};

REHEARSE_COMMAND("evaluate", EvaluateCommand);

}  // namespace
}  // namespace rehearse
