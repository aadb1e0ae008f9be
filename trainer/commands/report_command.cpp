// rehearse report: one HTML page about finished or running runs.
#include <CLI/CLI.hpp>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/base/text/printable.h"
#include "trainer/base/text/table.h"
#include "trainer/commands/command.h"
#include "trainer/observe/progress.h"
#include "trainer/report/report.h"

namespace rehearse {
namespace {

// The domain table of the page, for the terminal: what a fine-tuning won and what it cost.
std::string before_and_after(const Evaluation& before, const Evaluation& after) {
  const std::vector<ScoreTerm>& scores = terms_of(after.task).scores;
  std::vector<TextTable::Column> columns = {{"set", TextTable::kLeft}};
  for (const ScoreTerm& score : scores) columns.insert(columns.end(), {{score.title + " before"}, {"after"}});
  TextTable table(columns);
  const auto add = [&](const std::string& name, const auto& then, const auto& now) {
    std::vector<std::string> row = {name};
    for (size_t i = 0; i < scores.size(); ++i)
      row.insert(row.end(), {format_score(then(i), scores[i]), format_score(now(i), scores[i])});
    table.add_row(row);
  };
  for (const EvaluatedSet& now : after.sets)
    for (const EvaluatedSet& then : before.sets)
      if (then.manifest == now.manifest && then.domain == now.domain)
        add(
            now.domain, [&](size_t i) { return then.scores[i].rate; }, [&](size_t i) { return now.scores[i].rate; });
  table.add_rule();
  add(
      "macro average", [&](size_t i) { return before.macro[i]; }, [&](size_t i) { return after.macro[i]; });
  return table.text();
}

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
    expect_writable("--out", out_);
    ReportInput input;
    for (const std::string& run : runs_) input.runs.push_back(load_report_run(run));
    if (!before_.empty()) input.before = read_evaluation(before_);
    if (!after_.empty()) input.after = read_evaluation(after_);
    for (size_t i = 0; i < runs_.size(); ++i) {
      const Metrics& metrics = input.runs[i].metrics;
      if (metrics.has_unfinished_line)
        std::cerr << runs_[i] << "/metrics.jsonl: the last line is unfinished and left out\n";
      if (metrics.damaged > 0)
        std::cerr << printable(concat(metrics.damaged, " damaged line(s) left out; first ", metrics.first_damage))
                  << "\n";
    }
    const fs::path out = !out_.empty()       ? fs::path(out_)
                         : runs_.size() == 1 ? runs_[0] / fs::path("report.html")
                                             : "report.html";
    FileLayer files;
    replace_text(files, out, render_report(input));
    if (input.before && input.after) std::cout << before_and_after(*input.before, *input.after) << "\n";
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
