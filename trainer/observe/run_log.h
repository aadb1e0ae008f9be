// Everything rank 0 says about a run: log lines, the live line, metrics.jsonl and TensorBoard events.
#pragma once

#include <limits>
#include <memory>
#include <string>

#include "trainer/base/log.h"
#include "trainer/observe/metrics.h"
#include "trainer/observe/pictures.h"
#include "trainer/observe/progress.h"
#include "trainer/observe/tensorboard.h"

namespace rehearse {

// Silent on other ranks, but for notes, which go into their own logs. Used from the training thread.
class RunLog {
 public:
  struct Options {
    bool is_silent = false;   // ranks other than 0
    fs::path folder;          // of the run
    double line_every_s = 0;  // of training, between lines about steps in the log
  };
  // `log` and `terms` outlive it.
  RunLog(const Options& options, Log& log, const TaskTerms& terms);

  // Before anything else is said: opens metrics and events; metrics behind the first step of this start are cut off.
  void begin(uint64_t first_step);

  void start(const StartMetrics& start);
  // The live line always, metrics and events when is_logged, and then a line in the log when it is time.
  void step(const StepSummary& summary, bool is_logged);
  void domains(const DomainsMetrics& domains);
  void validation(const ValidationMetrics& validation, double best);
  // RUN/pictures and TensorBoard.
  void pictures(const ShownPictures& shown);
  void note(uint64_t step, const std::string& text);
  void cost(const CostMetrics& cost);

 private:
  void scalar(const std::string& tag, uint64_t step, double value);
  Options options_;
  Log& log_;
  const TaskTerms& terms_;
  FileLayer files_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<EventWriter> events_;
  double last_line_s_ = -std::numeric_limits<double>::infinity();
};

// Seconds since 1970.
double wall_clock();
// Columns of the terminal on stderr, 100 when it is none.
size_t terminal_width();

}  // namespace rehearse
