#include "trainer/report/report_input.h"

#include "trainer/base/error.h"
#include "trainer/base/text/json_fields.h"

namespace rehearse {
namespace {

RateInterval read_interval(const JsonFields& set, const std::string& name) {
  return {.rate = set.number(name), .low = set.number(name + "_low"), .high = set.number(name + "_high")};
}

std::string name_of(const fs::path& folder) {
  fs::path path = fs::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // it ended in a slash
  return path.filename().string();
}

}  // namespace

ReportRun load_report_run(const fs::path& folder) {
  const fs::path metrics = folder / "metrics.jsonl";
  if (!fs::is_regular_file(metrics))
    throw DataError(folder.string(),
                    ": expected a run folder with metrics.jsonl; found none; name the folder given as run.folder");
  ReportRun run{.name = name_of(folder), .metrics = read_metrics(metrics)};
  if (fs::is_regular_file(folder / "config.yaml")) run.config_yaml = read_text(folder / "config.yaml");
  run.shown = read_pictures(folder);
  return run;
}

Evaluation parse_evaluation(const std::string& text, const std::string& file_name) {
  const nlohmann::json json = parse_json(text, file_name);
  const JsonFields fields(json, file_name);
  Evaluation evaluation;
  evaluation.checkpoint = fields.text("checkpoint");
  evaluation.step = fields.count("step");
  if (const std::string task = fields.text("task"); !task.empty()) evaluation.task = task;
  const TaskTerms& terms = terms_of(evaluation.task);
  evaluation.note = fields.text("normalizer");
  for (const ScoreTerm& score : terms.scores) evaluation.macro.push_back(fields.number("macro_" + score.key));
  for (const nlohmann::json& item : fields.list("sets")) {
    const JsonFields set(item, concat(file_name, ": sets[", evaluation.sets.size(), "]"));
    evaluation.sets.push_back({.manifest = set.required_text("manifest"),
                               .domain = set.text("domain"),
                               .examples = set.count(terms.examples),
                               .size = set.number(terms.size_key),
                               .scores = {},
                               .is_in_training = set.boolean("in_training", false)});
    for (const ScoreTerm& score : terms.scores) evaluation.sets.back().scores.push_back(read_interval(set, score.key));
  }
  return evaluation;
}

Evaluation read_evaluation(const fs::path& path) {
  return parse_evaluation(read_text(path), path.string());
}

}  // namespace rehearse
