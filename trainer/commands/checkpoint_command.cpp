#include <CLI/CLI.hpp>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"
#include "trainer/checkpoint/checkpoint_average.h"
#include "trainer/checkpoint/checkpoint_diff.h"
#include "trainer/checkpoint/checkpoint_report.h"
#include "trainer/commands/command.h"
#include "trainer/commands/number_checks.h"

namespace rehearse {
namespace {

class CheckpointCommand : public Command {
 public:
  std::string summary() const override { return "verify, inspect, compare or average checkpoints"; }
  std::string examples() const override {
    return "  rehearse checkpoint verify runs/quickstart              # every checkpoint of the run\n"
           "  rehearse checkpoint verify runs/quickstart --step 1200\n"
           "  rehearse checkpoint inspect runs/quickstart             # the best, else the newest\n"
           "  rehearse checkpoint diff runs/a runs/b --step 1200      # exit code 0: equal bit for bit; 3: different\n"
           "  rehearse checkpoint average runs/quickstart --last 2 --out runs/quickstart-mean\n"
           "  rehearse checkpoint average A B C --out D               # D: for evaluate, transcribe, train --init\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("ACTION", action_,
                   "verify (read every file, compare sizes and checksums), inspect, diff (of two: weights, state,"
                   " configuration) or average (mean of the weights, the rest of the newest)")
        ->required()
        ->check(CLI::IsMember({"verify", "inspect", "diff", "average"}));
    app.add_option("CHECKPOINT", paths_, "checkpoints or run folders: one, two for diff, several for average")
        ->required();
    app.add_option("--step", step_, "of a run folder, take the checkpoint of this step")->check(at_least(0));
    app.add_option("--last", last_, "average: the newest so many of one run folder")->check(at_least(1));
    app.add_option("--out", out_, "average: the new checkpoint, a folder that does not exist yet");
  }
  int run() override {
    if (action_ != "average" && (last_ > 0 || !out_.empty()))
      throw ConfigError("checkpoint ", action_, ": expected no --last or --out; found one; they belong to average");
    if (action_ == "average") return average();
    if (action_ == "diff") return diff();
    expect_paths(1);
    const fs::path chosen = choose_checkpoint(paths_[0], step_);
    if (action_ == "verify") return verify(chosen);
    std::cout << describe_contents(load_checkpoint(chosen, false));
    return kExitOk;
  }

 private:
  void expect_paths(size_t count) const {
    if (paths_.size() != count)
      throw ConfigError("checkpoint ", action_, ": expected ", count, " checkpoint", count == 1 ? "" : "s", "; found ",
                        paths_.size(), "; see rehearse checkpoint --help");
  }

  // Of a run folder all, so that one torn checkpoint does not hide another.
  static int verify(const fs::path& chosen) {
    std::error_code absent;
    const fs::path folder = fs::is_directory(chosen / "checkpoints", absent) ? chosen / "checkpoints" : chosen;
    std::vector<fs::path> all = list_checkpoints(folder);
    if (all.empty()) all = {chosen};
    int code = kExitOk;
    for (const fs::path& one : all) {
      try {
        std::cout << describe_verified(one);
      } catch (const DataError& failure) {
        std::cerr << "rehearse: " << printable_lines(failure.what()) << "\n";
        code = kExitData;
      }
    }
    return code;
  }

  int diff() const {
    expect_paths(2);
    const LoadedCheckpoint a = load_checkpoint(choose_checkpoint(paths_[0], step_), true);
    const CheckpointDifference difference =
        compare_checkpoints(a, load_checkpoint(choose_checkpoint(paths_[1], step_), true));
    std::cout << difference.text;
    return difference.is_equal ? kExitOk : kExitData;
  }

  int average() const {
    if (out_.empty()) throw ConfigError("checkpoint average: expected --out FOLDER; found none");
    if (step_ >= 0) throw ConfigError("checkpoint average: expected no --step; found one; name the checkpoints");
    std::vector<fs::path> chosen(paths_.begin(), paths_.end());
    if (last_ > 0) {
      expect_paths(1);
      chosen = newest_checkpoints(paths_[0], static_cast<size_t>(last_));
    }
    FileLayer files;
    const fs::path written = average_checkpoints(chosen, out_, files);
    std::cout << written.string() << ": the mean of " << chosen.size()
              << " checkpoints; use it as any checkpoint: evaluate, train --init and the verbs of its task\n";
    return kExitOk;
  }

  std::string action_, out_;
  std::vector<std::string> paths_;
  int64_t step_ = -1, last_ = 0;
};

REHEARSE_COMMAND("checkpoint", CheckpointCommand);

}  // namespace
}  // namespace rehearse
