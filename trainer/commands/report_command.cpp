// rehearse report: one HTML page about finished or running runs.
#include <CLI/CLI.hpp>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/commands/command.h"
#include "trainer/engine/report.h"

namespace rehearse {
namespace {

class ReportCommand : public Command {
 public:
  std::string summary() const override { return "write one HTML page about a run, or about several compared"; }

  std::string examples() const override {
    return "rehearse report runs/quickstart\n"
           "rehearse report runs/finetune --before before.json --after after.json\n"
           "rehearse report runs/stride_2 runs/stride_4 runs/stride_8 --out stride.html";
  }

  void declare(CLI::App& app) override {
    app.add_option("RUN", runs_, "run folders; several are drawn over each other")->required();
    app.add_option("--before", before_,
                   "evaluation of the checkpoint that the run started from (rehearse evaluate --json)");
    app.add_option("--after", after_, "evaluation of the checkpoint that the run ended with");
    app.add_option("--out", out_, "file to write; default: report.html in the run's folder, or here for several runs");
  }

  int run() override {
    ReportInput input;
    for (const std::string& run : runs_) input.runs.push_back(load_report_run(run));
    if (!before_.empty()) input.before = read_evaluation(before_);
    if (!after_.empty()) input.after = read_evaluation(after_);
    for (size_t i = 0; i < runs_.size(); ++i)
      if (input.runs[i].metrics.has_unfinished_line)
        std::cerr << runs_[i] << "/metrics.jsonl: the last line is unfinished and left out\n";
    const fs::path out = !out_.empty()       ? fs::path(out_)
                         : runs_.size() == 1 ? runs_[0] / fs::path("report.html")
                                             : "report.html";
    FileLayer files;
    replace_text(files, out, render_report(input));
    std::cout << "wrote " << out.string() << "\n";
    return kExitOk;
  }

 private:
  std::vector<std::string> runs_;
  std::string before_, after_, out_;
};

REHEARSE_COMMAND("report", ReportCommand);

}  // namespace
}  // namespace rehearse
