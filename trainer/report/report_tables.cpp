#include "trainer/report/report_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "trainer/base/error.h"
#include "trainer/observe/progress.h"
#include "trainer/report/report_html.h"
#include "trainer/report/report_svg.h"

namespace rehearse {
namespace {

std::string number_text(double value, int digits, const char* unit = "") {
  return std::isfinite(value) ? fmt::format("{:.{}f}{}", value, digits, unit) : "–";
}

std::string percent_text(double share) {
  return std::isfinite(share) ? format_percent(share) : "–";
}

std::string grouped(uint64_t value) {
  std::string text = std::to_string(value);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, "\u202f");
  return text;
}

const ValidationMetrics* best_validation(const Metrics& metrics) {
  const ValidationMetrics* best = nullptr;
  for (const ValidationMetrics& validation : metrics.validations)
    if (std::isfinite(validation.macro_cer) && (!best || validation.macro_cer < best->macro_cer)) best = &validation;
  return best;
}

// What both the tiles and the comparison show.
struct Figures {
  double final_cer = kUnknown, final_wer = kUnknown, best_cer = kUnknown;
  uint64_t best_step = 0, steps = 0, draws = 0;
  double loss = kUnknown, drawn_cer = kUnknown, target_cer = kUnknown;  // the first two: mean of the last tenth
  double passes = kUnknown, audio_hours = kUnknown, wall_s = kUnknown, core_hours = kUnknown, gpu_hours = kUnknown;
  double audio_s_per_s = kUnknown, peak_rss_bytes = kUnknown;
};

double late_mean(const std::vector<StepMetrics>& steps, double StepMetrics::*field) {
  double sum = 0;
  size_t num_known = 0;
  for (size_t i = steps.size() - std::max<size_t>(1, steps.size() / 10); i < steps.size(); ++i) {
    if (!std::isfinite(steps[i].*field)) continue;
    sum += steps[i].*field;
    ++num_known;
  }
  return num_known > 0 ? sum / static_cast<double>(num_known) : kUnknown;
}

Figures figures_of(const Metrics& metrics) {
  Figures figures;
  if (!metrics.validations.empty()) {
    figures.final_cer = metrics.validations.back().macro_cer;
    figures.final_wer = metrics.validations.back().macro_wer;
  }
  if (const ValidationMetrics* best = best_validation(metrics)) {
    figures.best_cer = best->macro_cer;
    figures.best_step = best->step;
  }
  if (!metrics.steps.empty()) {
    const StepMetrics& last = metrics.steps.back();
    figures.steps = last.step;
    figures.draws = last.draws;
    figures.passes = last.passes;
    figures.wall_s = last.time_s;
    figures.audio_hours = last.audio_s / 3600;
    if (last.time_s > 0) figures.audio_s_per_s = last.audio_s / last.time_s;
    figures.loss = late_mean(metrics.steps, &StepMetrics::loss_per_token);
    figures.drawn_cer = late_mean(metrics.steps, &StepMetrics::drawn_cer);
    figures.target_cer = last.target_cer;
  }
  if (metrics.cost) {
    figures.wall_s = metrics.cost->wall_s;
    figures.core_hours = metrics.cost->core_hours;
    figures.gpu_hours = metrics.cost->gpu_hours;
    figures.peak_rss_bytes = metrics.cost->peak_rss_bytes;
  }
  return figures;
}

std::string tile(const std::string& value, const std::string& text) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", value, text);
}

std::string cost_text(const Figures& figures) {
  if (figures.gpu_hours > 0) return number_text(figures.gpu_hours, 2, " GPU-hours");
  if (std::isfinite(figures.core_hours)) return number_text(figures.core_hours, 2, " core-hours");
  return "so far";
}

std::string interval_text(const RateInterval& rate) {
  if (!std::isfinite(rate.rate)) return "–";
  std::string text = format_percent(rate.rate);
  if (std::isfinite(rate.low) && std::isfinite(rate.high))
    text += fmt::format(" <small>[{:.1f}, {:.1f}]</small>", 100 * rate.low, 100 * rate.high);
  return text;
}

// In points. The half-width adds the two intervals as if the sets were independent, which is too wide for equal sets.
std::string difference_text(const RateInterval& before, const RateInterval& after) {
  const double difference = after.rate - before.rate;
  if (!std::isfinite(difference)) return "–";
  const double half = std::hypot((before.high - before.low) / 2, (after.high - after.low) / 2);
  const std::string sign = difference < 0 ? "−" : "+";
  std::string text = fmt::format("{}{:.1f}", sign, 100 * std::abs(difference));
  if (!std::isfinite(half)) return text;
  text += fmt::format(" <small>± {:.1f}</small>", 100 * half);
  if (std::abs(difference) <= half) return text;
  return fmt::format("<span class=\"{}\">{}</span>", difference < 0 ? "good" : "bad", text);
}

struct SetPair {
  const EvaluatedSet* before = nullptr;
  const EvaluatedSet* after = nullptr;
  const EvaluatedSet& any() const { return after ? *after : *before; }

  // Empty for a domain that neither checkpoint was trained on.
  const char* tag() const {
    if (!any().is_in_training) return before && before->is_in_training ? "trained before" : "";
    return before && !before->is_in_training ? "new domain" : "trained domain";
  }
};

std::vector<SetPair> pairs_of(const std::optional<Evaluation>& before, const std::optional<Evaluation>& after) {
  std::vector<SetPair> pairs;
  if (after)
    for (const EvaluatedSet& set : after->sets) pairs.push_back({nullptr, &set});
  if (!before) return pairs;
  for (const EvaluatedSet& set : before->sets) {
    auto same = std::ranges::find_if(pairs, [&](const SetPair& pair) {
      return pair.after && !pair.before && pair.after->manifest == set.manifest && pair.after->domain == set.domain;
    });
    if (same == pairs.end()) {
      pairs.push_back({&set, nullptr});
    } else {
      same->before = &set;
    }
  }
  return pairs;
}

std::string file_name(const std::string& path) {
  std::string name = fs::path(path).filename().string();
  return name.empty() ? path : name;
}

std::string set_name(const EvaluatedSet& set) {
  return set.domain.empty() ? file_name(set.manifest) : set.domain + " · " + file_name(set.manifest);
}

using RateOfSet = RateInterval EvaluatedSet::*;

// One kind of rate for all sets, and its mean.
std::string rate_table(const std::vector<SetPair>& pairs, RateOfSet rate,
                       const std::optional<RateInterval>& macro_before,
                       const std::optional<RateInterval>& macro_after) {
  const RateInterval absent;
  // The rates come first: a phone shows the left of a table.
  const auto row_of = [&](const std::string& name, const RateInterval& old_rate, const RateInterval& new_rate) {
    std::vector<std::string> row = {name};
    if (macro_before) row.push_back(interval_text(old_rate));
    if (macro_after) row.push_back(interval_text(new_rate));
    if (macro_before && macro_after) row.push_back(difference_text(old_rate, new_rate));
    return row;
  };
  std::vector<std::vector<std::string>> rows;
  for (const SetPair& pair : pairs) {
    const EvaluatedSet& set = pair.any();
    const std::string tag = *pair.tag() ? concat(" <span class=\"tag\">", pair.tag(), "</span>") : "";
    rows.push_back(row_of(escape_html(set_name(set)) + tag, pair.before ? pair.before->*rate : absent,
                          pair.after ? pair.after->*rate : absent));
    rows.back().insert(rows.back().end(), {grouped(set.utterances), number_text(set.hours, 2)});
  }
  rows.push_back(row_of("mean of the sets", macro_before.value_or(absent), macro_after.value_or(absent)));
  for (std::string& cell : rows.back()) cell = "<b>" + cell + "</b>";
  rows.back().insert(rows.back().end(), {"", ""});
  const bool has_both = macro_before && macro_after;
  std::vector<std::string> titles = has_both ? std::vector<std::string>{"set", "before", "after", "difference, points"}
                                             : std::vector<std::string>{"set", "rate"};
  titles.insert(titles.end(), {"utterances", "hours"});
  return html_table(titles, rows);
}

std::string checkpoint_text(const char* when, const std::optional<Evaluation>& evaluation) {
  if (!evaluation) return "";
  return fmt::format("<p class=\"hint\">{}: {}, update {}, normaliser {}</p>", when,
                     escape_html(evaluation->checkpoint), evaluation->step, escape_html(evaluation->normalizer));
}

std::string interval_card(const std::vector<SetPair>& pairs, RateOfSet rate, const std::string& name, bool has_both) {
  std::vector<IntervalRow> rows;
  for (const SetPair& pair : pairs) {
    IntervalRow row{.name = set_name(pair.any()), .marks = {}};
    const auto add = [&](const EvaluatedSet* set, const char* color) {
      if (set) row.marks.push_back({color, (set->*rate).rate, (set->*rate).low, (set->*rate).high});
    };
    add(pair.before, has_both ? "none" : "c0");
    add(pair.after, "c0");
    rows.push_back(std::move(row));
  }
  const std::string legend = has_both ? html_legend({{"none", "before"}, {"c0", "after"}}) : "";
  return html_card(name, "of each set, with its 95 % interval", legend + draw_intervals(rows, name));
}

}  // namespace

std::string summary_tiles(const ReportRun& run) {
  const Figures figures = figures_of(run.metrics);
  constexpr double kGibibyte = 1024.0 * 1024 * 1024;
  std::string html = "<div class=\"tiles\">\n";
  html += tile(percent_text(figures.final_cer), "final macro CER, WER " + percent_text(figures.final_wer));
  html += tile(percent_text(figures.best_cer), fmt::format("best macro CER, after update {}", figures.best_step));
  html += tile(percent_text(figures.drawn_cer), "drawn CER of late, target " + percent_text(figures.target_cer));
  html += tile(number_text(figures.loss, 3), "loss of late, per target token");
  html += tile(number_text(figures.passes, 1), fmt::format("passes, {} draws", grouped(figures.draws)));
  html += tile(format_duration(figures.wall_s), "wall time, " + cost_text(figures));
  html += tile(number_text(figures.audio_s_per_s, 0, " ×"),
               "real time, " + number_text(figures.audio_hours, 1, " h of audio"));
  if (std::isfinite(figures.peak_rss_bytes))
    html += tile(number_text(figures.peak_rss_bytes / kGibibyte, 2, " GiB"), "peak memory of a rank");
  return html + "</div>\n";
}

std::string comparison_table(const std::vector<ReportRun>& runs) {
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < runs.size(); ++i) {
    const Figures figures = figures_of(runs[i].metrics);
    rows.push_back({fmt::format("<span class=\"swatch {}\"></span>{}", series_color(i), escape_html(runs[i].name)),
                    percent_text(figures.final_cer), percent_text(figures.best_cer), percent_text(figures.final_wer),
                    percent_text(figures.drawn_cer), grouped(figures.steps), number_text(figures.passes, 1),
                    format_duration(figures.wall_s), cost_text(figures), number_text(figures.audio_s_per_s, 0)});
  }
  return html_table(
      {"run", "final CER", "best CER", "final WER", "drawn CER", "updates", "passes", "wall time", "cost", "audio-s/s"},
      rows);
}

std::string validation_table(const Metrics& metrics) {
  if (metrics.validations.empty()) return "";
  const ValidationMetrics& last = metrics.validations.back();
  std::vector<std::vector<std::string>> rows;
  for (const ValidationSet& set : last.sets) {
    double best = set.cer;
    for (const ValidationMetrics& validation : metrics.validations)
      for (const ValidationSet& other : validation.sets)
        if (other.name == set.name && other.domain == set.domain && !(other.cer >= best)) best = other.cer;
    rows.push_back({escape_html(set.name), escape_html(set.domain), grouped(set.utterances), number_text(set.hours, 2),
                    percent_text(set.cer), percent_text(best), percent_text(set.wer),
                    number_text(set.loss_per_token, 3)});
  }
  const ValidationMetrics* best = best_validation(metrics);
  rows.push_back({"<b>mean of the sets</b>", "", "", "", "<b>" + percent_text(last.macro_cer) + "</b>",
                  "<b>" + percent_text(best ? best->macro_cer : kUnknown) + "</b>",
                  "<b>" + percent_text(last.macro_wer) + "</b>", ""});
  return html_table({"set", "domain", "utterances", "hours", "CER", "best CER", "WER", "loss/token"}, rows);
}

std::string evaluation_tables(const std::optional<Evaluation>& before, const std::optional<Evaluation>& after) {
  if (!before && !after) return "";
  const bool has_both = before && after;
  const auto macro = [](const std::optional<Evaluation>& evaluation, double Evaluation::*rate) {
    return evaluation ? std::optional<RateInterval>({.rate = (*evaluation).*rate}) : std::nullopt;
  };
  const std::vector<SetPair> pairs = pairs_of(before, after);
  std::string html = checkpoint_text("before", before) + checkpoint_text("after", after);
  html += "<div class=\"grid2\">" + interval_card(pairs, &EvaluatedSet::cer, "CER", has_both) +
          interval_card(pairs, &EvaluatedSet::wer, "WER", has_both) + "</div>\n";
  html += "<section class=\"card\" style=\"margin-top:16px\">";
  html += "<h4>CER</h4>" + rate_table(pairs, &EvaluatedSet::cer, macro(before, &Evaluation::macro_cer),
                                      macro(after, &Evaluation::macro_cer));
  html += "<h4>WER</h4>" + rate_table(pairs, &EvaluatedSet::wer, macro(before, &Evaluation::macro_wer),
                                      macro(after, &Evaluation::macro_wer));
  html += "<p class=\"hint\">Brackets: 95 % intervals.";
  if (has_both)
    html +=
        " The ± of a difference treats both evaluations as independent, so it is too wide rather than too narrow; "
        "coloured differences are larger than it.";
  return html + "</p></section>\n";
}

}  // namespace rehearse
