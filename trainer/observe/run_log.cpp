#include "trainer/observe/run_log.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>

#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string table_of(const ValidationMetrics& validation, const TaskTerms& terms) {
  std::vector<TextTable::Column> columns = {{"validation set", TextTable::kLeft}, {terms.examples}};
  for (const ScoreTerm& score : terms.scores) columns.push_back({score.title});
  columns.push_back({terms.loss_title});
  TextTable table(columns);
  std::vector<std::string> mean = {"macro average", ""};
  for (const ValidationSet& set : validation.sets) {
    std::vector<std::string> row = {set.domain, std::to_string(set.examples)};
    for (size_t i = 0; i < terms.scores.size(); ++i) row.push_back(format_score(set.scores[i], terms.scores[i]));
    char loss[32];
    std::snprintf(loss, sizeof loss, "%.*f", terms.loss_digits, set.loss);
    row.emplace_back(loss);
    table.add_row(row);
  }
  for (size_t i = 0; i < terms.scores.size(); ++i) mean.push_back(format_score(validation.macro[i], terms.scores[i]));
  mean.emplace_back("");
  table.add_rule();
  table.add_row(mean);
  return table.text();
}

}  // namespace

double wall_clock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

size_t terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col - 1u;
  return 100;
}

RunLog::RunLog(const Options& options, Log& log, const TaskTerms& terms)
    : options_(options), log_(log), terms_(terms) {}

void RunLog::begin(uint64_t first_step) {
  if (options_.is_silent) return;
  metrics_ = std::make_unique<MetricsWriter>(files_, options_.folder / "metrics.jsonl", terms_);
  if (const MetricsWriter::Cut cut = metrics_->cut_back_to(first_step); cut.damaged > 0)
    log_.warn("metrics.jsonl: ", cut.damaged, " damaged line(s) dropped, the rest is kept; first ", cut.first_damage);
  events_ = std::make_unique<EventWriter>(EventWriter::Options{options_.folder / "tensorboard", host_name(),
                                                               wall_clock(), static_cast<int64_t>(first_step)});
}

void RunLog::scalar(const std::string& tag, uint64_t step, double value) {
  if (std::isfinite(value)) events_->scalar(tag, static_cast<int64_t>(step), value, wall_clock());
}

void RunLog::start(const StartMetrics& start) {
  if (metrics_) metrics_->write(start);
}

void RunLog::step(const StepSummary& summary, bool is_logged) {
  if (options_.is_silent) return;
  log_.status(status_line(summary, terms_, terminal_width()));
  if (!is_logged) return;
  const StepMetrics& m = summary.metrics;
  // By time: a run of hours is to be read by people. The last one is always there.
  if (summary.is_last || m.time_s - last_line_s_ >= options_.line_every_s) {
    last_line_s_ = m.time_s;
    log_.info(log_line(summary, terms_));
  }
  metrics_->write(m);
  scalar("train/" + terms_.loss_key, m.step, m.loss);
  scalar("train/drawn_" + terms_.error_key, m.step, m.drawn_error);
  for (size_t i = 0; i < m.ratios.size(); ++i) scalar("train/" + terms_.ratios[i].key, m.step, m.ratios[i]);
  scalar("train/lr", m.step, m.lr);
  scalar("train/grad_norm", m.step, m.grad_norm);
  scalar(concat("speed/", terms_.cost_key, "_per_s"), m.step, m.cost_per_s);
}

void RunLog::domains(const DomainsMetrics& domains) {
  if (options_.is_silent) return;
  metrics_->write(domains);
  for (const auto& domain : domains.domains) {
    const std::string name = domain.at("name");
    for (const std::string& key :
         {"drawn_" + terms_.error_key, std::string("lambda"), std::string("share"), std::string("trim")})
      if (domain.contains(key) && domain[key].is_number())
        scalar(concat("curriculum/", name, "/", key), domains.step, domain[key]);
  }
}

void RunLog::validation(const ValidationMetrics& validation, double best) {
  if (options_.is_silent) return;
  metrics_->write(validation);
  log_.info("step ", validation.step, ": validation (best macro ", terms_.scores[0].title, " so far ",
            format_score(best, terms_.scores[0]), ")\n", table_of(validation, terms_));
  for (const ValidationSet& set : validation.sets) {
    for (size_t i = 0; i < terms_.scores.size(); ++i)
      scalar(concat("validation/", terms_.scores[i].key, "/", set.domain), validation.step, set.scores[i]);
    scalar(concat("validation/", terms_.loss_key, "/", set.domain), validation.step, set.loss);
  }
  scalar("validation/macro_" + terms_.scores[0].key, validation.step, validation.best_of());
}

void RunLog::pictures(const ShownPictures& shown) {
  if (options_.is_silent || shown.pictures.empty()) return;
  write_pictures(files_, options_.folder, shown);
  int number = 0;
  for (const ShownPicture& one : shown.pictures)
    events_->picture(concat("validation/", one.is_best ? "best/" : "worst/", ++number),
                     static_cast<int64_t>(shown.step), one.png, wall_clock());
}

void RunLog::note(uint64_t step, const std::string& text) {
  if (options_.is_silent) {
    log_.detail(text);
    return;
  }
  log_.info(text);
  metrics_->write(NoteMetrics{step, text});
}

void RunLog::cost(const CostMetrics& cost) {
  if (options_.is_silent) return;
  log_.status("");
  metrics_->write(cost);
}

}  // namespace rehearse
