#include <CLI/CLI.hpp>

#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"
#include "trainer/examine/model_cost.h"

namespace rehearse {
namespace {

class ModelCommand : public Command {
 public:
  std::string summary() const override {
    return "show a model block by block: shapes, receptive field, parameters, operations, memory, measured times";
  }
  std::string examples() const override {
    return "  rehearse model configs/quickstart.yaml\n"
           "  rehearse model configs/quickstart.yaml --seconds 5 --batch 8 --threads 2 --json model.json\n"
           "  rehearse model configs/quickstart.yaml --set precision=bfloat16\n"
           "  rehearse model configs/keypoints.yaml --batch 64\n"
           "  rehearse model runs/quickstart --no-times\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("CONFIG", request_.path, "YAML file of the run; or a checkpoint or run folder")->required();
    app.add_option("--set", request_.overrides, "key=value over the file (repeatable)")->allow_extra_args(false);
    app.add_option("--seconds", request_.seconds, "of audio in each utterance (15)")->check(number_between(0.1, 3600));
    app.add_option("--batch", request_.batch,
                   "utterances or pictures at once; without it as many as a micro-batch holds")
        ->check(whole_between(1, 1 << 20));
    app.add_option("--threads", request_.threads, "of the CPU; without it as training has them")
        ->check(whole_between(1, 4096));
    app.add_flag("--no-times", counts_only_, "measure nothing: shapes, fields and counts alone");
    app.add_option("--json", request_.json_path, "write all figures here");
  }
  int run() override {
    request_.has_times = !counts_only_;
    return model_cost(request_);
  }

 private:
  ModelCostRequest request_;
  bool counts_only_ = false;
};

REHEARSE_COMMAND("model", ModelCommand);

}  // namespace
}  // namespace rehearse
