#include <CLI/CLI.hpp>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"
#include "trainer/commands/version.h"
#include "trainer/engine/train_run.h"

namespace rehearse {
namespace {

class TrainCommand : public Command {
 public:
  std::string summary() const override { return "train or fine-tune a model; one process per rank under mpirun"; }
  std::string examples() const override {
    return "  rehearse train configs/quickstart.yaml\n"
           "  launch/run.sh -n 2 -- train configs/quickstart.yaml --resume auto\n"
           "  launch/run.sh -n 2 -- train my_domain.yaml --init runs/quickstart --set optimizer.lr=0.0005";
  }
  void declare(CLI::App& app) override {
    app.add_option("CONFIG", request_.config_path, "YAML file of the run")->required();
    app.add_option("--set", request_.overrides, "key=value over the file, e.g. optimizer.lr=0.001 (repeatable)")
        ->allow_extra_args(false);
    app.add_option("--resume", request_.resume,
                   "auto (the newest whole checkpoint of the run folder, if any), a checkpoint, or a run folder (its"
                   " newest)");
    app.add_flag("--strict-resume", request_.strict_resume, "refuse to resume where the result would not be bit-exact");
    app.add_option("--profile", request_.profile_steps,
                   "draw this many steps of every rank into profile/rank-R.json of the run folder")
        ->check(at_least(1));
    app.add_option("--init", request_.init,
                   "start from the weights and the CER table of this checkpoint or run (its best, else its newest)");
    app.add_flag("--newest-step", is_step_asked_,
                 "print the step of the newest checkpoint in the run folder, 0 for none, and train nothing");
    app.add_option(
        "--replay-observations", request_.replay_observations,
        "observations.jsonl of another run (log.observations): its CERs steer the draws in place of the own");
  }
  int run() override {
    if (is_step_asked_) {
      std::cout << newest_step(request_) << "\n";
      return kExitOk;
    }
    request_.version_text = version_text();
    request_.versions = linked_versions();
    return train(request_);
  }

 private:
  TrainRequest request_;
  bool is_step_asked_ = false;
};

REHEARSE_COMMAND("train", TrainCommand);

}  // namespace
}  // namespace rehearse
