// The curves of one run, or of several over each other.
#pragma once

#include <string>
#include <vector>

#include "trainer/report/report_html.h"
#include "trainer/report/report_input.h"

namespace rehearse {

// Where several runs are compared: GPU-hours when every run has them, else hours of wall time. One run: updates.
class RunClock {
 public:
  explicit RunClock(const std::vector<ReportRun>& runs);
  const std::string& label() const { return label_; }
  double at(size_t run, uint64_t step, double time_s) const;

 private:
  std::string label_;
  std::vector<double> per_second_;  // of each run; empty: count updates
};

std::vector<LegendItem> run_legend(const std::vector<ReportRun>& runs);  // a colour for each

// All return HTML; empty when there is nothing to show.
std::string training_curves(const std::vector<ReportRun>& runs);  // loss, CER, learning rate, gradient norm, speed
std::string domain_curves(const std::vector<ReportRun>& runs);    // drawn CER against target, for each domain
std::string shares_of_time(const std::vector<ReportRun>& runs);

}  // namespace rehearse
