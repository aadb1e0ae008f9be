// What a run writes about itself: metrics.jsonl, one JSON object a line (METRICS.md).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/base/files.h"
#include "trainer/observe/terms.h"

namespace rehearse {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();  // written as null

// Seconds of wall time on the coordinating rank since the previous line.
struct PhaseSeconds {
  double data = 0;
  double forward = 0;
  double loss = 0;  // behind the model
  double backward = 0;
  double communication = 0;
  double update = 0;
  double other = 0;
};

// How a run (re)started: whatever a reader of its figures has to know.
struct StartMetrics {
  uint64_t step = 0;
  std::string config_hash;
  std::string device;
  uint64_t ranks = 0;
  uint64_t threads = 0;                         // per rank
  std::map<std::string, std::string> versions;  // name to version
  std::string task = kFirstTask;
  nlohmann::json task_facts = nlohmann::json::object();  // what the task adds to the line
};

struct StepMetrics {
  uint64_t step = 0;
  double time_s = 0;  // of training since the run began, over all its resumes
  double passes = 0;
  uint64_t draws = 0;              // since the run began
  double loss = kUnknown;          // mean per unit of the normaliser since the previous line
  std::vector<double> ratios;      // TaskTerms::ratios over the draws since the previous line
  double drawn_error = kUnknown;   // mean over the same draws
  double target_error = kUnknown;  // what drawn_error is held at, mean over domains by share
  double lr = kUnknown;
  double grad_norm = kUnknown;   // before clipping
  double cost = 0;               // of what was loaded since the run began
  double cost_per_s = kUnknown;  // since the previous line
  PhaseSeconds phase_s;
  uint64_t skipped = 0;     // updates left out because a gradient was not finite, since the run began
  uint64_t unreadable = 0;  // draws since the previous line that could not be loaded
  uint64_t infeasible = 0;  // draws since the previous line from which, as drawn, nothing could be learned
  // Of rank 0's process, since it began: both stand still once it has warmed up.
  uint64_t product_kernels = 0;  // shapes of blocks of matrix products, for each of which machine code was made
  uint64_t memory_blocks = 0;    // pieces of memory for tensors asked of the system
};

struct DomainsMetrics {
  uint64_t step = 0;
  nlohmann::json domains = nlohmann::json::array();  // the list `domains` of Sampler::report(); each has `name`
};

struct ValidationSet {
  std::string name;
  std::string domain;
  uint64_t examples = 0;
  double size = 0;             // TaskTerms::size_key
  std::vector<double> scores;  // TaskTerms::scores
  double loss = kUnknown;
};

struct ValidationMetrics {
  uint64_t step = 0;
  double time_s = 0;
  std::vector<ValidationSet> sets;
  std::vector<double> macro;                                              // of each score: mean over sets
  double best_of() const { return macro.empty() ? kUnknown : macro[0]; }  // what decides which checkpoint is best
};

struct NoteMetrics {
  uint64_t step = 0;
  std::string text;
};

struct CostMetrics {
  uint64_t step = 0;
  double wall_s = 0;
  double core_hours = 0;
  double gpu_hours = 0;
  double peak_rss_bytes = 0;  // of the largest rank
  std::vector<double> peak_rss_by_rank;
  double size = 0;  // of all that was loaded
  double passes = 0;
  uint64_t draws = 0;
};

// The JSON line of each; numbers that are not finite become null.
nlohmann::json metrics_line(const StartMetrics& start);
nlohmann::json metrics_line(const DomainsMetrics& domains);
nlohmann::json metrics_line(const NoteMetrics& note);
// With the task's keys.
nlohmann::json metrics_line(const StepMetrics& step, const TaskTerms& terms);
nlohmann::json metrics_line(const ValidationMetrics& validation, const TaskTerms& terms);
nlohmann::json metrics_line(const CostMetrics& cost, const TaskTerms& terms);

// Appends to one metrics.jsonl. A line is in the file when write() returns. One thread at a time.
class MetricsWriter {
 public:
  // Creates the file when absent; ends or removes a last line that a crash left unfinished. `files` must outlive this.
  MetricsWriter(FileLayer& files, fs::path path, const TaskTerms& terms);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  template <class Metrics>
  void write(const Metrics& metrics) {
    if constexpr (requires { metrics_line(metrics, terms_); })
      append(metrics_line(metrics, terms_));
    else
      append(metrics_line(metrics));
  }

  struct Cut {
    size_t later = 0;          // lines with a larger step
    std::string first_damage;  // "metrics.jsonl:7: expected JSON; found …"; empty: none
    size_t damaged = 0;        // lines that are not ours
  };
  // Drops both kinds of lines, atomically, and keeps the rest byte for byte.
  Cut cut_back_to(uint64_t step);

 private:
  void append(const nlohmann::json& line);
  void open();
  void close() noexcept;

  FileLayer& files_;
  fs::path path_;
  const TaskTerms& terms_;
  int descriptor_ = -1;
};

// All lines of one file, in file order by kind.
struct Metrics {
  std::string task = kFirstTask;  // of the last start
  std::vector<StartMetrics> starts;
  std::vector<StepMetrics> steps;
  std::vector<DomainsMetrics> domains;
  std::vector<ValidationMetrics> validations;
  std::vector<NoteMetrics> notes;
  std::optional<CostMetrics> cost;   // the last one
  bool has_unfinished_line = false;  // a crash cut the last line; it is left out
  size_t damaged = 0;                // lines that are left out because METRICS.md does not allow them
  std::string first_damage;          // "file:line: …"
};

Metrics read_metrics(const fs::path& path);
Metrics parse_metrics(const std::string& text, const std::string& file_name);

}  // namespace rehearse
