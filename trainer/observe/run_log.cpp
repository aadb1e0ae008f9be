#include "trainer/observe/run_log.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>

#include "trainer/base/table.h"

namespace rehearse {
namespace {

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
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

RunLog::RunLog(const Options& options, Log& log) : options_(options), log_(log) {}

void RunLog::begin(uint64_t first_step) {
  if (options_.is_silent) return;
  metrics_ = std::make_unique<MetricsWriter>(files_, options_.folder / "metrics.jsonl");
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
  log_.status(status_line(summary, terminal_width()));
  if (!is_logged) return;
  const StepMetrics& m = summary.metrics;
  // By time: a run of hours is to be read by people. The last one is always there.
  if (summary.is_last || m.time_s - last_line_s_ >= options_.line_every_s) {
    last_line_s_ = m.time_s;
    log_.info(log_line(summary));
  }
  metrics_->write(m);
  scalar("train/loss_per_token", m.step, m.loss_per_token);
  scalar("train/cer", m.step, m.cer);
  scalar("train/drawn_cer", m.step, m.drawn_cer);
  scalar("train/lr", m.step, m.lr);
  scalar("train/grad_norm", m.step, m.grad_norm);
  scalar("train/blank_share", m.step, m.blank_share);
  scalar("speed/audio_s_per_s", m.step, m.audio_s_per_s);
}

void RunLog::domains(const DomainsMetrics& domains) {
  if (options_.is_silent) return;
  metrics_->write(domains);
  for (const auto& domain : domains.domains) {
    const std::string name = domain.at("name");
    for (const char* key : {"drawn_cer", "lambda", "share", "trim"})
      if (domain.contains(key) && domain[key].is_number())
        scalar(concat("curriculum/", name, "/", key), domains.step, domain[key]);
  }
}

void RunLog::validation(const ValidationMetrics& validation, double best_cer) {
  if (options_.is_silent) return;
  metrics_->write(validation);
  TextTable table({{"validation set", TextTable::kLeft}, {"utterances"}, {"CER"}, {"WER"}, {"loss/token"}});
  char loss[32];
  for (const ValidationSet& set : validation.sets) {
    std::snprintf(loss, sizeof loss, "%.3f", set.loss_per_token);
    table.add_row({set.domain, std::to_string(set.utterances), format_percent(set.cer), format_percent(set.wer), loss});
    scalar("validation/cer/" + set.domain, validation.step, set.cer);
    scalar("validation/wer/" + set.domain, validation.step, set.wer);
    scalar("validation/loss_per_token/" + set.domain, validation.step, set.loss_per_token);
  }
  table.add_rule();
  table.add_row({"macro average", "", format_percent(validation.macro_cer), format_percent(validation.macro_wer), ""});
  scalar("validation/macro_cer", validation.step, validation.macro_cer);
  log_.info("step ", validation.step, ": validation (best macro CER so far ", format_percent(best_cer), ")\n",
            table.text());
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
