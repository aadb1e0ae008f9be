#include <CLI/CLI.hpp>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/commands/command.h"
#include "trainer/engine/checkpoint_report.h"

namespace rehearse {
namespace {

class CheckpointCommand : public Command {
 public:
  std::string summary() const override { return "verify checkpoints, or show what one holds"; }
  std::string examples() const override {
    return "  rehearse checkpoint verify runs/quickstart              # every checkpoint of the run\n"
           "  rehearse checkpoint verify runs/quickstart --step 1200\n"
           "  rehearse checkpoint inspect runs/quickstart             # the best, else the newest\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("ACTION", action_, "verify (read every file, compare sizes and checksums) or inspect")
        ->required()
        ->check(CLI::IsMember({"verify", "inspect"}));
    app.add_option("CHECKPOINT", path_, "checkpoint or run folder")->required();
    app.add_option("--step", step_, "of a run folder, take the checkpoint of this step")->check(CLI::NonNegativeNumber);
  }
  int run() override {
    const fs::path chosen = choose_checkpoint(path_, step_);
    if (action_ == "verify") return verify(chosen);
    std::cout << describe_contents(load_checkpoint(chosen, false));
    return kExitOk;
  }

 private:
  // Of a run folder all, so that one torn checkpoint does not hide another.
  static int verify(const fs::path& chosen) {
    const fs::path folder = fs::is_directory(chosen / "checkpoints") ? chosen / "checkpoints" : chosen;
    std::vector<fs::path> all = list_checkpoints(folder);
    if (all.empty()) all = {chosen};
    int code = kExitOk;
    for (const fs::path& one : all) {
      try {
        std::cout << describe_verified(one);
      } catch (const DataError& failure) {
        std::cerr << "rehearse: " << failure.what() << "\n";
        code = kExitData;
      }
    }
    return code;
  }

  std::string action_, path_;
  int64_t step_ = -1;
};

REHEARSE_COMMAND("checkpoint", CheckpointCommand);

}  // namespace
}  // namespace rehearse
