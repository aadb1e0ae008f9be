// The figures of a report: what was evaluated and what the run cost.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/report/report_input.h"

namespace rehearse {

// All return HTML; empty when there is nothing to show.
std::string summary_tiles(const ReportRun& run);
std::string comparison_table(const std::vector<ReportRun>& runs);
std::string validation_table(const Metrics& metrics);  // of the last validation, with the best CER of each set
// A set is in one row when manifest and domain are equal in both.
std::string evaluation_tables(const std::optional<Evaluation>& before, const std::optional<Evaluation>& after);

}  // namespace rehearse
