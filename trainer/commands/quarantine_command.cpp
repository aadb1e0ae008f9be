// rehearse quarantine: the utterances whose texts a run holds to be wrong.
#include <CLI/CLI.hpp>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/commands/command.h"
#include "trainer/engine/checkpoint_report.h"
#include "trainer/engine/quarantine_list.h"
#include "trainer/engine/run_log.h"

namespace rehearse {
namespace {

class QuarantineCommand : public Command {
 public:
  std::string summary() const override { return "list the utterances whose texts look wrong to a run's curriculum"; }
  std::string examples() const override {
    return "  rehearse quarantine runs/my_run                      # of the best checkpoint, else the newest\n"
           "  rehearse quarantine runs/my_run --step 1200 --most 100\n"
           "  rehearse quarantine runs/my_run --out wrong.jsonl    # a manifest of all of them, to listen to\n"
           "  rehearse evaluate runs/my_run --manifest wrong.jsonl --hypotheses heard.tsv\n";
  }
  void declare(CLI::App& app) override {
    app.add_option("CHECKPOINT", path_, "a checkpoint or a run folder")->required();
    app.add_option("--step", step_, "of a run folder, take the checkpoint of this step")->check(CLI::NonNegativeNumber);
    app.add_option("--most", most_, "lines of the table")->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--out", out_, "also write all of them as a manifest, the worst first");
  }
  int run() override {
    const LoadedCheckpoint checkpoint = load_checkpoint(choose_checkpoint(path_, step_), true);
    const QuarantineList list = quarantine_of(checkpoint);
    if (!list.utterances.empty()) std::cout << quarantine_table(list, most_, terminal_width());
    std::cout << list.utterances.size() << " utterances set aside by " << checkpoint.path.string();
    if (list.utterances.size() > most_) std::cout << ", the worst " << most_ << " shown";
    if (list.unknown > 0) std::cout << "; " << list.unknown << " more are no longer in the manifests";
    std::cout << "\n";
    if (out_.empty()) return kExitOk;
    std::vector<Utterance> utterances;
    for (const SetAside& one : list.utterances) utterances.push_back(one.utterance);
    write_manifest(out_, utterances);
    std::cout << "wrote " << out_ << "\n";
    return kExitOk;
  }

 private:
  std::string path_, out_;
  int64_t step_ = -1;
  size_t most_ = 20;
};

REHEARSE_COMMAND("quarantine", QuarantineCommand);

}  // namespace
}  // namespace rehearse
