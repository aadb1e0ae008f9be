// What a report is made of: run folders and evaluation files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/base/files.h"
#include "trainer/observe/metrics.h"
#include "trainer/observe/pictures.h"

namespace rehearse {

struct ReportRun {
  std::string name;  // of the folder
  Metrics metrics;
  std::string config_yaml;  // empty when the folder has none
  ShownPictures shown;
};

// Of RUN/metrics.jsonl and RUN/config.yaml. DataError when the folder or its metrics are absent or not readable.
ReportRun load_report_run(const fs::path& folder);

// A rate with its 95 % interval.
struct RateInterval {
  double rate = kUnknown;
  double low = kUnknown;
  double high = kUnknown;
};

struct EvaluatedSet {
  std::string manifest;
  std::string domain;
  uint64_t examples = 0;
  double size = 0;                   // TaskTerms::size_key
  std::vector<RateInterval> scores;  // TaskTerms::scores
  bool is_in_training = false;
};

struct Evaluation {
  std::string checkpoint;
  uint64_t step = 0;
  std::string task = kFirstTask;
  std::string note;  // "text normalised by basic/2"; empty: none
  std::vector<EvaluatedSet> sets;
  std::vector<double> macro;  // of each score
};

Evaluation read_evaluation(const fs::path& path);  // DataError "file: field: …"
Evaluation parse_evaluation(const std::string& text, const std::string& file_name);

}  // namespace rehearse
