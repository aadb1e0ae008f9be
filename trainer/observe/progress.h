// How a running step is told to a person: one line for the terminal, one for the log.
#pragma once

#include <cstdint>
#include <string>

#include "trainer/observe/metrics.h"

namespace rehearse {

struct StepSummary {
  StepMetrics metrics;
  uint64_t total_steps = 0;       // 0: the budget is not counted in steps
  double budget_share = 0;        // of the budget spent, 0 to 1
  double remaining_s = kUnknown;  // of the budget, at the present speed
  bool is_last = false;           // of this start of the run
};

// "0:07", "3:12", "1:02:03"; "-" when unknown or negative.
std::string format_duration(double seconds);
// "14.2%"; "-" when unknown.
std::string format_percent(double share);
// As the score is shown: "14.2%", or "0.0042" where it is no share.
std::string format_score(double value, const ScoreTerm& term);
// Two significant digits without a padded exponent: "1.9e-3", "0".
std::string format_rate(double value);

// At most `width` cells: the least important parts are left out first, then the end is cut.
std::string status_line(const StepSummary& summary, const TaskTerms& terms, size_t width);
// Everything, on one line.
std::string log_line(const StepSummary& summary, const TaskTerms& terms);

}  // namespace rehearse
