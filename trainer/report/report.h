// One self-contained HTML page about a run, or about several compared: no scripts, no other files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/report/report_input.h"

namespace rehearse {

struct ReportInput {
  std::vector<ReportRun> runs;  // at least one; several are drawn over each other
  std::optional<Evaluation> before;
  std::optional<Evaluation> after;
};

// A function of its input alone. ConfigError where runs and evaluations are not of one task.
std::string render_report(const ReportInput& input);

}  // namespace rehearse
