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

namespace rehearse {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();  // written as null

// Seconds of wall time on the coordinating rank since the previous line.
struct PhaseSeconds {
  double data = 0;
  double forward = 0;
  double ctc = 0;
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
  nlohmann::json overlap;  // of training and validation (SetOverlap::to_json); null without the latter
  // By set and domain: characters outside the vocabulary, and annotations (METRICS.md).
  nlohmann::json unknown_characters = nlohmann::json::array(), annotations = nlohmann::json::array();
};

struct StepMetrics {
  uint64_t step = 0;
  double time_s = 0;  // of training since the run began, over all its resumes
  double passes = 0;
  uint64_t draws = 0;                // since the run began
  double loss_per_token = kUnknown;  // mean per target token since the previous line
  double cer = kUnknown;             // Σ edits / Σ length of the draws since the previous line
  double drawn_cer = kUnknown;       // mean over the same draws of min(1, edits / length)
  double target_cer = kUnknown;      // what drawn_cer is held at, mean over domains by share
  double lr = kUnknown;
  double grad_norm = kUnknown;      // before clipping
  double audio_s = 0;               // since the run began
  double audio_s_per_s = kUnknown;  // since the previous line
  double blank_share = kUnknown;    // of frames whose best output is blank
  PhaseSeconds phase_s;
  uint64_t skipped = 0;     // updates left out because a gradient was not finite, since the run began
  uint64_t unreadable = 0;  // draws since the previous line whose audio could not be read
  uint64_t infeasible = 0;  // draws since the previous line with fewer frames than their text needs
};

struct DomainsMetrics {
  uint64_t step = 0;
  nlohmann::json domains = nlohmann::json::array();  // the list `domains` of Sampler::report(); each has `name`
};

struct ValidationSet {
  std::string name;
  std::string domain;
  uint64_t utterances = 0;
  double hours = 0;
  double cer = kUnknown;
  double wer = kUnknown;
  double loss_per_token = kUnknown;
};

struct ValidationMetrics {
  uint64_t step = 0;
  double time_s = 0;
  std::vector<ValidationSet> sets;
  double macro_cer = kUnknown;  // mean over sets
  double macro_wer = kUnknown;
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
  double audio_hours = 0;
  double passes = 0;
  uint64_t draws = 0;
};

// The JSON line of each; numbers that are not finite become null.
nlohmann::json metrics_line(const StartMetrics& start);
nlohmann::json metrics_line(const StepMetrics& step);
nlohmann::json metrics_line(const DomainsMetrics& domains);
nlohmann::json metrics_line(const ValidationMetrics& validation);
nlohmann::json metrics_line(const NoteMetrics& note);
nlohmann::json metrics_line(const CostMetrics& cost);

// Appends to one metrics.jsonl. A line is in the file when write() returns. One thread at a time.
class MetricsWriter {
 public:
  // Creates the file when absent; ends or removes a last line that a crash left unfinished. `files` must outlive this.
  MetricsWriter(FileLayer& files, fs::path path);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  template <class Metrics>
  void write(const Metrics& metrics) {
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
  int descriptor_ = -1;
};

// All lines of one file, in file order by kind.
struct Metrics {
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
