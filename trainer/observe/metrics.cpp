#include "trainer/observe/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "trainer/base/error.h"
#include "trainer/base/text/json_fields.h"

namespace rehearse {
namespace {

using nlohmann::json;

struct Phase {
  const char* name;  // empty: the task's own
  double PhaseSeconds::*seconds;
  std::string key(const TaskTerms& terms) const { return *name ? name : terms.loss_phase; }
};
constexpr std::array<Phase, 7> kPhases = {{{"data", &PhaseSeconds::data},
                                           {"forward", &PhaseSeconds::forward},
                                           {"", &PhaseSeconds::loss},
                                           {"backward", &PhaseSeconds::backward},
                                           {"communication", &PhaseSeconds::communication},
                                           {"update", &PhaseSeconds::update},
                                           {"other", &PhaseSeconds::other}}};

StartMetrics read_start(const JsonFields& fields) {
  StartMetrics start;
  start.step = fields.required_count("step");
  start.config_hash = fields.text("config_hash");
  start.device = fields.text("device");
  start.ranks = fields.count("ranks");
  start.threads = fields.count("threads");
  start.versions = fields.child("versions").texts();
  start.task = fields.text("task");
  if (start.task.empty()) start.task = kFirstTask;
  return start;
}

StepMetrics read_step(const JsonFields& fields, const TaskTerms& terms) {
  StepMetrics step;
  step.step = fields.required_count("step");
  step.time_s = fields.number("time_s");
  step.passes = fields.number("passes");
  step.draws = fields.count("draws");
  step.loss = fields.number(terms.loss_key);
  if (std::isnan(step.loss)) step.loss = fields.number("loss");  // its name before
  for (const RatioTerm& ratio : terms.ratios) step.ratios.push_back(fields.number(ratio.key));
  step.drawn_error = fields.number("drawn_" + terms.error_key);
  step.target_error = fields.number("target_" + terms.error_key);
  step.lr = fields.number("lr");
  step.grad_norm = fields.number("grad_norm");
  step.cost = fields.number(terms.cost_key);
  step.cost_per_s = fields.number(terms.cost_key + "_per_s");
  JsonFields phases = fields.child("phase_s");
  for (const Phase& phase : kPhases) step.phase_s.*phase.seconds = phases.number(phase.key(terms));
  step.skipped = fields.count("skipped");
  step.unreadable = fields.count("unreadable");
  step.infeasible = fields.count("infeasible");
  step.product_kernels = fields.count("product_kernels");
  step.memory_blocks = fields.count("memory_blocks");
  return step;
}

DomainsMetrics read_domains(const JsonFields& fields) {
  DomainsMetrics metrics;
  metrics.step = fields.required_count("step");
  metrics.domains = fields.list("domains");
  for (const json& domain : metrics.domains) JsonFields(domain, fields.where() + ": domains").required_text("name");
  return metrics;
}

ValidationMetrics read_validation(const JsonFields& fields, const TaskTerms& terms) {
  ValidationMetrics validation;
  validation.step = fields.required_count("step");
  validation.time_s = fields.number("time_s");
  for (const json& item : fields.list("sets")) {
    JsonFields set(item, fields.where() + ": sets");
    validation.sets.push_back({.name = set.required_text("name"),
                               .domain = set.text("domain"),
                               .examples = set.count(terms.examples),
                               .size = set.number(terms.size_key),
                               .scores = {},
                               .loss = set.number(terms.loss_key)});
    for (const ScoreTerm& score : terms.scores) validation.sets.back().scores.push_back(set.number(score.key));
  }
  for (const ScoreTerm& score : terms.scores) validation.macro.push_back(fields.number("macro_" + score.key));
  return validation;
}

CostMetrics read_cost(const JsonFields& fields, const TaskTerms& terms) {
  std::vector<double> peaks;
  for (const json& one : fields.list("peak_rss_by_rank")) {
    if (!one.is_number()) fields.fail("peak_rss_by_rank", "a list of numbers");
    peaks.push_back(one);
  }
  return {.step = fields.required_count("step"),
          .wall_s = fields.number("wall_s"),
          .core_hours = fields.number("core_hours"),
          .gpu_hours = fields.number("gpu_hours"),
          .peak_rss_bytes = fields.number("peak_rss_bytes"),
          .peak_rss_by_rank = std::move(peaks),
          .size = fields.number(terms.run_size_key),
          .passes = fields.number("passes"),
          .draws = fields.count("draws")};
}

void add_line(Metrics& metrics, const json& line, const std::string& where) {
  JsonFields fields(line, where);
  const std::string kind = fields.required_text("kind");
  const TaskTerms& terms = terms_of(metrics.task);
  if (kind == "start") {
    metrics.starts.push_back(read_start(fields));
    metrics.task = metrics.starts.back().task;
  } else if (kind == "step") {
    metrics.steps.push_back(read_step(fields, terms));
  } else if (kind == "domains") {
    metrics.domains.push_back(read_domains(fields));
  } else if (kind == "validation") {
    metrics.validations.push_back(read_validation(fields, terms));
  } else if (kind == "note") {
    metrics.notes.push_back({fields.required_count("step"), fields.text("text")});
  } else if (kind == "cost") {
    metrics.cost = read_cost(fields, terms);
  } else {
    fields.fail("kind", "start, step, domains, validation, note or cost");
  }
}

// Calls visit(line, line_number) for every non-empty line that ends in '\n' and returns what follows the last '\n'.
template <class Visit>
std::string_view for_each_line(std::string_view text, Visit visit) {
  for (size_t number = 1;; ++number) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return text;
    if (end > 0) visit(text.substr(0, end), number);
    text.remove_prefix(end + 1);
  }
}

double at_or_unknown(const std::vector<double>& values, size_t i) {
  return i < values.size() ? values[i] : kUnknown;
}

bool is_object(std::string_view text) {
  return json::parse(text, nullptr, false).is_object();
}

}  // namespace

json metrics_line(const StartMetrics& start) {
  json line = {{"kind", "start"},           {"step", start.step},   {"config_hash", start.config_hash},
               {"device", start.device},    {"ranks", start.ranks}, {"threads", start.threads},
               {"versions", start.versions}};
  if (start.task != kFirstTask) line["task"] = start.task;
  line.update(start.task_facts);
  return line;
}

json metrics_line(const StepMetrics& step, const TaskTerms& terms) {
  json phases = json::object();
  for (const Phase& phase : kPhases) phases[phase.key(terms)] = step.phase_s.*phase.seconds;
  json line = {{"kind", "step"},
               {"step", step.step},
               {"time_s", step.time_s},
               {"passes", step.passes},
               {"draws", step.draws},
               {terms.loss_key, step.loss},
               {"drawn_" + terms.error_key, step.drawn_error},
               {"target_" + terms.error_key, step.target_error},
               {"lr", step.lr},
               {"grad_norm", step.grad_norm},
               {terms.cost_key, step.cost},
               {terms.cost_key + "_per_s", step.cost_per_s},
               {"phase_s", std::move(phases)},
               {"skipped", step.skipped},
               {"unreadable", step.unreadable},
               {"infeasible", step.infeasible},
               {"product_kernels", step.product_kernels},
               {"memory_blocks", step.memory_blocks}};
  for (size_t i = 0; i < terms.ratios.size(); ++i) line[terms.ratios[i].key] = at_or_unknown(step.ratios, i);
  return line;
}

json metrics_line(const DomainsMetrics& domains) {
  return {{"kind", "domains"}, {"step", domains.step}, {"domains", domains.domains}};
}

json metrics_line(const ValidationMetrics& validation, const TaskTerms& terms) {
  json line = {{"kind", "validation"}, {"step", validation.step}, {"time_s", validation.time_s}};
  json& sets = line["sets"] = json::array();
  for (const ValidationSet& set : validation.sets) {
    sets.push_back({{"name", set.name},
                    {"domain", set.domain},
                    {terms.examples, set.examples},
                    {terms.size_key, set.size},
                    {terms.loss_key, set.loss}});
    for (size_t i = 0; i < terms.scores.size(); ++i) sets.back()[terms.scores[i].key] = at_or_unknown(set.scores, i);
  }
  for (size_t i = 0; i < terms.scores.size(); ++i)
    line["macro_" + terms.scores[i].key] = at_or_unknown(validation.macro, i);
  return line;
}

json metrics_line(const NoteMetrics& note) {
  return {{"kind", "note"}, {"step", note.step}, {"text", note.text}};
}

json metrics_line(const CostMetrics& cost, const TaskTerms& terms) {
  return {{"kind", "cost"},
          {"step", cost.step},
          {"wall_s", cost.wall_s},
          {"core_hours", cost.core_hours},
          {"gpu_hours", cost.gpu_hours},
          {"peak_rss_bytes", cost.peak_rss_bytes},
          {"peak_rss_by_rank", cost.peak_rss_by_rank},
          {terms.run_size_key, cost.size},
          {"passes", cost.passes},
          {"draws", cost.draws}};
}

MetricsWriter::MetricsWriter(FileLayer& files, fs::path path, const TaskTerms& terms)
    : files_(files), path_(std::move(path)), terms_(terms) {
  if (fs::exists(path_)) {
    std::string text = read_text(path_);
    const std::string_view tail = for_each_line(text, [](std::string_view, size_t) {});
    if (!tail.empty()) {
      const bool is_whole = is_object(tail);
      replace_text(files_, path_, is_whole ? text + "\n" : text.substr(0, text.size() - tail.size()));
    }
  }
  open();
}

MetricsWriter::~MetricsWriter() {
  close();
}

void MetricsWriter::open() {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw CommError(path_.string(), ": expected a file to append to; found: ", std::strerror(errno));
}

void MetricsWriter::close() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

void MetricsWriter::append(const json& line) {
  const std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(descriptor_, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0)
      throw CommError(path_.string(), ": expected to append ", text.size(), " bytes; found: ", std::strerror(errno),
                      "; free some space and resume");
    written += static_cast<size_t>(count);
  }
}

MetricsWriter::Cut MetricsWriter::cut_back_to(uint64_t step) {
  const std::string text = read_text(path_);
  std::string kept;
  Cut cut;
  for_each_line(text, [&](std::string_view line, size_t number) {
    const std::string where = concat(path_.string(), ":", number);
    try {
      const json value = parse_json(std::string(line), where);
      if (JsonFields(value, where).required_count("step") > step)
        ++cut.later;
      else
        kept.append(line).push_back('\n');
    } catch (const DataError& failure) {
      if (cut.damaged++ == 0) cut.first_damage = failure.what();
    }
  });
  if (cut.later + cut.damaged == 0) return cut;
  close();  // the open descriptor would keep appending to the replaced file
  replace_text(files_, path_, kept);
  open();
  return cut;
}

Metrics parse_metrics(const std::string& text, const std::string& file_name) {
  Metrics metrics;
  size_t num_lines = 0;
  auto add = [&](std::string_view line, size_t number) {
    const std::string where = concat(file_name, ":", number);
    num_lines = number;
    try {
      add_line(metrics, parse_json(std::string(line), where), where);
    } catch (const DataError& failure) {
      if (metrics.damaged++ == 0) metrics.first_damage = failure.what();
    }
  };
  const std::string_view tail = for_each_line(text, add);
  if (tail.empty()) return metrics;
  if (is_object(tail)) {
    add(tail, num_lines + 1);
  } else {
    metrics.has_unfinished_line = true;
  }
  return metrics;
}

Metrics read_metrics(const fs::path& path) {
  return parse_metrics(read_text(path), path.string());
}

}  // namespace rehearse
