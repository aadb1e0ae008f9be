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
    if (std::isfinite(validation.best_of()) && (!best || validation.best_of() < best->best_of())) best = &validation;
  return best;
}

// What both the tiles and the comparison show.
struct Figures {
  std::vector<double> final;  // of each score
  double best = kUnknown;     // of the first
  uint64_t best_step = 0, steps = 0, draws = 0;
  double loss = kUnknown, drawn_error = kUnknown, target_error = kUnknown;  // the first two: mean of the last tenth
  double passes = kUnknown, size = kUnknown, wall_s = kUnknown, core_hours = kUnknown, gpu_hours = kUnknown;
  double cost_per_s = kUnknown, peak_rss_bytes = kUnknown;
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
  const TaskTerms& terms = terms_of(metrics.task);
  if (!metrics.validations.empty()) figures.final = metrics.validations.back().macro;
  figures.final.resize(terms.scores.size(), kUnknown);
  if (const ValidationMetrics* best = best_validation(metrics)) {
    figures.best = best->best_of();
    figures.best_step = best->step;
  }
  if (!metrics.steps.empty()) {
    const StepMetrics& last = metrics.steps.back();
    figures.steps = last.step;
    figures.draws = last.draws;
    figures.passes = last.passes;
    figures.wall_s = last.time_s;
    figures.size = last.cost * terms.size_per_cost;
    if (last.time_s > 0) figures.cost_per_s = last.cost / last.time_s;
    figures.loss = late_mean(metrics.steps, &StepMetrics::loss);
    figures.drawn_error = late_mean(metrics.steps, &StepMetrics::drawn_error);
    figures.target_error = last.target_error;
  }
  if (metrics.cost) {
    figures.wall_s = metrics.cost->wall_s;
    figures.core_hours = metrics.cost->core_hours;
    figures.gpu_hours = metrics.cost->gpu_hours;
    figures.peak_rss_bytes = metrics.cost->peak_rss_bytes;
  }
  return figures;
}

// Hours have two digits here, pictures none.
int size_digits(const TaskTerms& terms) {
  return terms.size_digits > 0 ? 2 : 0;
}

std::string tile(const std::string& value, const std::string& text) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", value, text);
}

std::string cost_text(const Figures& figures) {
  if (figures.gpu_hours > 0) return number_text(figures.gpu_hours, 2, " GPU-hours");
  if (std::isfinite(figures.core_hours)) return number_text(figures.core_hours, 2, " core-hours");
  return "so far";
}

std::string score_text(double value, const ScoreTerm& term) {
  return std::isfinite(value) ? format_score(value, term) : "–";
}

std::string interval_text(const RateInterval& rate, const ScoreTerm& term) {
  std::string text = score_text(rate.rate, term);
  if (!std::isfinite(rate.rate) || !std::isfinite(rate.low) || !std::isfinite(rate.high)) return text;
  if (!term.is_percent) return text + fmt::format(" <small>[{:.4g}, {:.4g}]</small>", rate.low, rate.high);
  return text + fmt::format(" <small>[{:.1f}, {:.1f}]</small>", 100 * rate.low, 100 * rate.high);
}

// In points. The half-width adds the two intervals as if the sets were independent, which is too wide for equal sets.
std::string difference_text(const RateInterval& before, const RateInterval& after, const ScoreTerm& term) {
  const double difference = after.rate - before.rate;
  if (!std::isfinite(difference)) return "–";
  const double half = std::hypot((before.high - before.low) / 2, (after.high - after.low) / 2);
  const std::string sign = difference < 0 ? "−" : "+";
  const auto shown = [&](double value) {
    return term.is_percent ? fmt::format("{:.1f}", 100 * value) : fmt::format("{:.4g}", value);
  };
  std::string text = sign + shown(std::abs(difference));
  if (!std::isfinite(half)) return text;
  text += fmt::format(" <small>± {}</small>", shown(half));
  if (std::abs(difference) <= half) return text;
  return fmt::format("<span class=\"{}\">{}</span>", (difference > 0) == term.is_more_better ? "good" : "bad", text);
}

// Cells of how much there is: the number of examples, and their size where it is another number.
void add_amount(std::vector<std::string>& row, uint64_t examples, double size, const TaskTerms& terms) {
  row.push_back(grouped(examples));
  if (!terms.size_mark.empty()) row.push_back(number_text(size, size_digits(terms)));
}

void add_amount_titles(std::vector<std::string>& titles, const TaskTerms& terms) {
  titles.push_back(terms.examples);
  if (!terms.size_mark.empty()) titles.push_back(terms.size_title);
}

// Cells of all scores, the best of the first one behind it.
void add_scores(std::vector<std::string>& row, const std::vector<double>& scores, double best, const TaskTerms& terms) {
  for (size_t i = 0; i < terms.scores.size(); ++i) {
    row.push_back(score_text(scores.at(i), terms.scores[i]));
    if (i == 0) row.push_back(score_text(best, terms.scores[i]));
  }
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

// One kind of rate for all sets, and its mean.
std::string rate_table(const std::vector<SetPair>& pairs, size_t score, const TaskTerms& terms,
                       const std::optional<RateInterval>& macro_before,
                       const std::optional<RateInterval>& macro_after) {
  const RateInterval absent;
  const ScoreTerm& term = terms.scores[score];
  // The rates come first: a phone shows the left of a table.
  const auto row_of = [&](const std::string& name, const RateInterval& old_rate, const RateInterval& new_rate) {
    std::vector<std::string> row = {name};
    if (macro_before) row.push_back(interval_text(old_rate, term));
    if (macro_after) row.push_back(interval_text(new_rate, term));
    if (macro_before && macro_after) row.push_back(difference_text(old_rate, new_rate, term));
    return row;
  };
  std::vector<std::vector<std::string>> rows;
  for (const SetPair& pair : pairs) {
    const EvaluatedSet& set = pair.any();
    const std::string tag = *pair.tag() ? concat(" <span class=\"tag\">", pair.tag(), "</span>") : "";
    rows.push_back(row_of(escape_html(set_name(set)) + tag, pair.before ? pair.before->scores[score] : absent,
                          pair.after ? pair.after->scores[score] : absent));
    add_amount(rows.back(), set.examples, set.size, terms);
  }
  rows.push_back(row_of("mean of the sets", macro_before.value_or(absent), macro_after.value_or(absent)));
  for (std::string& cell : rows.back()) cell = "<b>" + cell + "</b>";
  rows.back().resize(rows.front().size());
  const bool has_both = macro_before && macro_after;
  std::vector<std::string> titles =
      has_both
          ? std::vector<std::string>{"set", "before", "after", term.is_percent ? "difference, points" : "difference"}
          : std::vector<std::string>{"set", "rate"};
  add_amount_titles(titles, terms);
  return html_table(titles, rows);
}

std::string checkpoint_text(const char* when, const std::optional<Evaluation>& evaluation) {
  if (!evaluation) return "";
  return fmt::format("<p class=\"hint\">{}: {}, update {}{}</p>", when, escape_html(evaluation->checkpoint),
                     evaluation->step, evaluation->note.empty() ? "" : ", normaliser " + escape_html(evaluation->note));
}

std::string interval_card(const std::vector<SetPair>& pairs, size_t score, const std::string& name, bool has_both) {
  std::vector<IntervalRow> rows;
  for (const SetPair& pair : pairs) {
    IntervalRow row{.name = set_name(pair.any()), .marks = {}};
    const auto add = [&](const EvaluatedSet* set, const char* color) {
      if (set) row.marks.push_back({color, set->scores[score].rate, set->scores[score].low, set->scores[score].high});
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
  const TaskTerms& terms = terms_of(run.metrics.task);
  std::string final;
  for (size_t i = 0; i < terms.scores.size(); ++i)
    final += (i == 0 ? "final macro " + terms.scores[i].title
                     : fmt::format(", {} {}", terms.scores[i].title, score_text(figures.final[i], terms.scores[i])));
  html += tile(score_text(figures.final.at(0), terms.scores[0]), final);
  html += tile(score_text(figures.best, terms.scores[0]),
               fmt::format("best macro {}, after update {}", terms.scores[0].title, figures.best_step));
  html += tile(percent_text(figures.drawn_error),
               fmt::format("drawn {} of late, target {}", terms.error_title, percent_text(figures.target_error)));
  html += tile(number_text(figures.loss, terms.loss_digits),
               "loss of late" + (terms.loss_hint.empty() ? "" : ", " + terms.loss_hint));
  html += tile(number_text(figures.passes, 1), fmt::format("passes, {} draws", grouped(figures.draws)));
  html += tile(format_duration(figures.wall_s), "wall time, " + cost_text(figures));
  html += tile(number_text(figures.cost_per_s, 0) + terms.speed_unit,
               fmt::format("{}, {} {}", terms.speed_word, number_text(figures.size, terms.size_per_cost == 1 ? 0 : 1),
                           terms.size_unit));
  if (std::isfinite(figures.peak_rss_bytes))
    html += tile(number_text(figures.peak_rss_bytes / kGibibyte, 2, " GiB"), "peak memory of a rank");
  return html + "</div>\n";
}

std::string comparison_table(const std::vector<ReportRun>& runs) {
  const TaskTerms& terms = terms_of(runs.at(0).metrics.task);
  const bool has_second = terms.scores.size() > 1;
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < runs.size(); ++i) {
    const Figures figures = figures_of(runs[i].metrics);
    rows.push_back({fmt::format("<span class=\"swatch {}\"></span>{}", series_color(i), escape_html(runs[i].name)),
                    score_text(figures.final.at(0), terms.scores.at(0)), score_text(figures.best, terms.scores[0]),
                    has_second ? score_text(figures.final.at(1), terms.scores[1]) : "",
                    percent_text(figures.drawn_error), grouped(figures.steps), number_text(figures.passes, 1),
                    format_duration(figures.wall_s), cost_text(figures), number_text(figures.cost_per_s, 0)});
  }
  return html_table({"run", "final " + terms.scores.at(0).title, "best " + terms.scores[0].title,
                     has_second ? "final " + terms.scores[1].title : "", "drawn " + terms.error_title, "updates",
                     "passes", "wall time", "cost", terms.speed_title},
                    rows);
}

std::string validation_table(const Metrics& metrics) {
  if (metrics.validations.empty()) return "";
  const TaskTerms& terms = terms_of(metrics.task);
  const ValidationMetrics& last = metrics.validations.back();
  std::vector<std::vector<std::string>> rows;
  for (const ValidationSet& set : last.sets) {
    double best = set.scores.at(0);
    for (const ValidationMetrics& validation : metrics.validations)
      for (const ValidationSet& other : validation.sets)
        if (other.name == set.name && other.domain == set.domain && !(other.scores.at(0) >= best))
          best = other.scores[0];
    rows.push_back({escape_html(set.name), escape_html(set.domain)});
    add_amount(rows.back(), set.examples, set.size, terms);
    add_scores(rows.back(), set.scores, best, terms);
    rows.back().push_back(number_text(set.loss, terms.loss_digits));
  }
  const ValidationMetrics* best = best_validation(metrics);
  std::vector<std::string> titles = {"set", "domain"};
  add_amount_titles(titles, terms);
  rows.push_back({"mean of the sets"});
  rows.back().resize(titles.size());
  add_scores(rows.back(), last.macro, best ? best->best_of() : kUnknown, terms);
  for (std::string& cell : rows.back())
    if (!cell.empty()) cell = "<b>" + cell + "</b>";
  rows.back().emplace_back("");
  for (size_t i = 0; i < terms.scores.size(); ++i) {
    titles.push_back(terms.scores[i].title);
    if (i == 0) titles.push_back("best " + terms.scores[i].title);
  }
  titles.push_back(terms.loss_title);
  return html_table(titles, rows);
}

std::string evaluation_tables(const std::optional<Evaluation>& before, const std::optional<Evaluation>& after) {
  if (!before && !after) return "";
  const bool has_both = before && after;
  const TaskTerms& terms = terms_of((after ? after : before)->task);
  if (has_both && before->task != after->task)
    throw DataError("--before and --after: expected evaluations of one task; found ", before->task, " and ",
                    after->task);
  const auto macro = [](const std::optional<Evaluation>& evaluation, size_t score) {
    return evaluation ? std::optional<RateInterval>({.rate = evaluation->macro.at(score)}) : std::nullopt;
  };
  const std::vector<SetPair> pairs = pairs_of(before, after);
  std::string html = checkpoint_text("before", before) + checkpoint_text("after", after);
  html += "<div class=\"grid2\">";
  for (size_t i = 0; i < terms.scores.size(); ++i)
    if (terms.scores[i].is_percent) html += interval_card(pairs, i, terms.scores[i].title, has_both);
  html += "</div>\n";
  html += "<section class=\"card\" style=\"margin-top:16px\">";
  for (size_t i = 0; i < terms.scores.size(); ++i)
    html += fmt::format("<h4>{}</h4>", terms.scores[i].title) +
            rate_table(pairs, i, terms, macro(before, i), macro(after, i));
  html += "<p class=\"hint\">Brackets: 95 % intervals.";
  if (has_both)
    html +=
        " The ± of a difference treats both evaluations as independent, so it is too wide rather than too narrow; "
        "coloured differences are larger than it.";
  return html + "</p></section>\n";
}

}  // namespace rehearse
