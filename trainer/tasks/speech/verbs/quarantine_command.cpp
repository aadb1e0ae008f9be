// rehearse quarantine: the utterances whose texts a run holds to be wrong.
#include <CLI/CLI.hpp>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/text/printable.h"
#include "trainer/checkpoint/checkpoint_report.h"
#include "trainer/commands/command.h"
#include "trainer/commands/manifest_option.h"
#include "trainer/commands/number_checks.h"
#include "trainer/observe/run_log.h"
#include "trainer/tasks/speech/examine/quarantine_list.h"

namespace rehearse {
namespace {

class QuarantineCommand : public Command {
 public:
  std::string summary() const override { return "list the utterances whose texts look wrong to a run's curriculum"; }
  std::string examples() const override {
    return "  rehearse quarantine runs/my_run                      # of the newest checkpoint\n"
           "  rehearse quarantine runs/my_run --step 1200 --most 100\n"
           "  rehearse quarantine runs/my_run --out wrong.jsonl    # a manifest of the wrong texts, to listen to\n"
           "  rehearse evaluate runs/my_run --manifest wrong.jsonl --hypotheses heard.jsonl\n"
           "  rehearse quarantine runs/packed --manifest corpora/mine/train.jsonl    # files instead of packs\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("CHECKPOINT", path_, "a checkpoint, or a run folder, whose newest one counts")->required();
    app.add_option("--step", step_, "of a run folder, take the checkpoint of this step")->check(at_least(0));
    add_manifest_option(app, manifests_,
                        "where the utterances are looked up, separated by commas (repeatable); default: the"
                        " manifests that the run was trained on");
    app.add_option("--most", most_, "utterances to show")->check(at_least(1))->capture_default_str();
    app.add_option("--out", out_, "also write all that can be read as a manifest, the worst first");
  }
  int run() override {
    expect_writable("--out", out_);
    const LoadedCheckpoint checkpoint = load_checkpoint(chosen(), true);
    const QuarantineList list = quarantine_of(checkpoint, manifests_);
    std::cout << printable(checkpoint.path.string()) << ": " << list.utterances.size() << " utterance(s) set aside\n\n"
              << quarantine_text(list, most_, terminal_width());
    if (list.unknown > 0) std::cerr << list.unknown << " more are set aside, but not in the manifests any longer\n";
    if (out_.empty()) return kExitOk;
    FileLayer files;
    replace_text(files, out_, quarantine_manifest(list));
    std::cout << "wrote " << printable(out_) << "\n";
    return kExitOk;
  }

 private:
  fs::path chosen() const {
    const fs::path folder = fs::path(path_) / "checkpoints";
    std::error_code absent;
    if (step_ >= 0 || !fs::is_directory(folder, absent)) return choose_checkpoint(path_, step_);
    const std::vector<fs::path> all = list_checkpoints(folder);
    return all.empty() ? fs::path(path_) : all.front();
  }

  std::string path_, out_;
  std::vector<std::string> manifests_;
  int64_t step_ = -1;
  size_t most_ = 20;
};

REHEARSE_COMMAND("quarantine", QuarantineCommand);

}  // namespace
}  // namespace rehearse
