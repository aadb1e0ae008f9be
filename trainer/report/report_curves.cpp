#include "trainer/report/report_curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "trainer/observe/progress.h"
#include "trainer/report/report_html.h"
#include "trainer/report/report_svg.h"

namespace rehearse {
namespace {

constexpr size_t kMaxPoints = 400;  // of one curve: more than its picture has columns for
constexpr size_t kSmoothing = 5;    // points on either side

using Runs = std::vector<ReportRun>;

std::vector<ChartPoint> curve_of(const Runs& runs, size_t run, const RunClock& clock, double StepMetrics::*field) {
  std::vector<ChartPoint> points;
  for (const StepMetrics& step : runs[run].metrics.steps)
    points.push_back({clock.at(run, step.step, step.time_s), step.*field});
  return points;
}

struct StepCurve {
  std::string title;
  std::string hint;
  double StepMetrics::*field;
  bool is_noisy = false;  // one run: raw values faint, their running mean on top; several: the mean alone
  bool is_percent = false;
  bool may_be_log = false;
};

std::string step_card(const Runs& runs, const RunClock& clock, const StepCurve& curve) {
  Chart chart{.label = curve.title, .x_label = clock.label(), .is_percent = curve.is_percent};
  for (size_t run = 0; run < runs.size(); ++run) {
    const std::vector<ChartPoint> raw = thinned(curve_of(runs, run, clock, curve.field), kMaxPoints);
    chart.is_log = chart.is_log || (curve.may_be_log && spans_magnitudes(raw));
    using Look = ChartSeries::Look;
    if (curve.is_noisy && runs.size() == 1) chart.series.push_back({series_color(run), Look::kFaint, raw});
    chart.series.push_back({series_color(run), Look::kLine, curve.is_noisy ? smoothed(raw, kSmoothing) : raw});
  }
  const std::string legend = runs.size() > 1 ? html_legend(run_legend(runs)) : "";
  return html_card(curve.title, curve.hint + (chart.is_log ? ", logarithmic" : ""), legend + draw_chart(chart));
}

// The domain where it tells the sets apart, else both.
std::string set_label(const ValidationMetrics& validation, const ValidationSet& set) {
  const auto num_equal = std::ranges::count(validation.sets, set.domain, &ValidationSet::domain);
  if (!set.domain.empty() && num_equal == 1) return set.domain;
  return set.domain.empty() ? set.name : set.name + " (" + set.domain + ")";
}

// One run: a curve for each set, and their mean.
std::string validation_card(const ReportRun& run, const RunClock& clock) {
  const TaskTerms& terms = terms_of(run.metrics.task);
  const ScoreTerm& score = terms.scores.at(0);
  Chart chart{
      .label = score.title + " of each validation set", .x_label = clock.label(), .is_percent = score.is_percent};
  std::vector<LegendItem> legend;
  ChartSeries macro{"ink", ChartSeries::Look::kDashed, {}};
  for (const ValidationMetrics& validation : run.metrics.validations) {
    const double x = clock.at(0, validation.step, validation.time_s);
    macro.points.push_back({x, validation.best_of()});
    for (const ValidationSet& set : validation.sets) {
      const std::string label = set_label(validation, set);
      size_t i = 0;
      while (i < legend.size() && legend[i].name != label) ++i;
      if (i == legend.size()) {
        legend.push_back({series_color(i), label});
        chart.series.push_back({series_color(i), ChartSeries::Look::kDots, {}});
      }
      chart.series[i].points.push_back({x, set.scores.at(0)});
    }
  }
  if (chart.series.size() > 1) {
    legend.push_back({"ink", "mean of the sets", true});
    chart.series.push_back(std::move(macro));
  }
  if (!run.metrics.steps.empty()) {
    const StepMetrics& last = run.metrics.steps.back();
    chart.x_end = clock.at(0, last.step, last.time_s);
  }
  return html_card("Validation " + score.title, score.hint + " of each set", html_legend(legend) + draw_chart(chart));
}

std::string macro_card(const Runs& runs, const RunClock& clock) {
  const ScoreTerm& score = terms_of(runs[0].metrics.task).scores.at(0);
  Chart chart{.label = fmt::format("macro {} of each run", score.title),
              .x_label = clock.label(),
              .is_percent = score.is_percent};
  for (size_t run = 0; run < runs.size(); ++run) {
    ChartSeries series{series_color(run), ChartSeries::Look::kDots, {}};
    for (const ValidationMetrics& validation : runs[run].metrics.validations)
      series.points.push_back({clock.at(run, validation.step, validation.time_s), validation.best_of()});
    chart.series.push_back(std::move(series));
  }
  return html_card("Validation " + score.title, "mean of the validation sets",
                   html_legend(run_legend(runs)) + draw_chart(chart));
}

std::string drawn_card(const ReportRun& run, const RunClock& clock) {
  const std::vector<ChartPoint> raw = thinned(curve_of({run}, 0, clock, &StepMetrics::drawn_error), kMaxPoints);
  const TaskTerms& terms = terms_of(run.metrics.task);
  Chart chart{.label = fmt::format("{} of the drawn {}", terms.error_title, terms.examples),
              .x_label = clock.label(),
              .is_percent = true};
  using Look = ChartSeries::Look;
  if (!run.metrics.steps.empty()) chart.y_cap = 5 * run.metrics.steps.back().target_error;
  chart.series.push_back({"c0", Look::kFaint, raw});
  chart.series.push_back({"c0", Look::kLine, smoothed(raw, kSmoothing)});
  chart.series.push_back(
      {"ink", Look::kDashed, thinned(curve_of({run}, 0, clock, &StepMetrics::target_error), kMaxPoints)});
  return html_card("Drawn " + terms.error_title, "of what the sampler chose, over all domains",
                   html_legend({{"c0", "drawn"}, {"ink", "target", true}}) + draw_chart(chart));
}

struct PhaseName {
  const char* name;  // empty: the task's own
  double PhaseSeconds::*seconds;
};
constexpr std::array<PhaseName, 7> kPhases = {{{"data", &PhaseSeconds::data},
                                               {"forward", &PhaseSeconds::forward},
                                               {"", &PhaseSeconds::loss},
                                               {"backward", &PhaseSeconds::backward},
                                               {"communication", &PhaseSeconds::communication},
                                               {"update", &PhaseSeconds::update},
                                               {"other", &PhaseSeconds::other}}};

// Of the sum of all phases; all zero when nothing is known.
std::array<double, 7> phase_shares(const Metrics& metrics) {
  std::array<double, 7> seconds{};
  double total = 0;
  for (const StepMetrics& step : metrics.steps)
    for (size_t i = 0; i < kPhases.size(); ++i) {
      const double value = step.phase_s.*kPhases[i].seconds;
      if (!(value > 0) || !std::isfinite(value)) continue;
      seconds[i] += value;
      total += value;
    }
  for (double& value : seconds) value = total > 0 && std::isfinite(total) ? value / total : 0;
  return seconds;
}

}  // namespace

std::vector<LegendItem> run_legend(const Runs& runs) {
  std::vector<LegendItem> items;
  for (size_t run = 0; run < runs.size(); ++run) items.push_back({series_color(run), runs[run].name});
  return items;
}

RunClock::RunClock(const std::vector<ReportRun>& runs) : label_("updates") {
  if (runs.size() < 2) return;
  const auto gpus = [](const ReportRun& run) {
    return run.metrics.cost && run.metrics.cost->wall_s > 0
               ? run.metrics.cost->gpu_hours * 3600 / run.metrics.cost->wall_s
               : 0.0;
  };
  const bool all_have_gpus = std::ranges::all_of(runs, [&](const ReportRun& run) { return gpus(run) > 0; });
  label_ = all_have_gpus ? "GPU-hours" : "hours of wall time";
  for (const ReportRun& run : runs) per_second_.push_back((all_have_gpus ? gpus(run) : 1.0) / 3600);
}

double RunClock::at(size_t run, uint64_t step, double time_s) const {
  return per_second_.empty() ? static_cast<double>(step) : time_s * per_second_[run];
}

std::string training_curves(const Runs& runs) {
  const RunClock clock(runs);
  const TaskTerms& terms = terms_of(runs[0].metrics.task);
  std::string cards = step_card(
      runs, clock,
      {.title = "Loss", .hint = terms.loss_hint, .field = &StepMetrics::loss, .is_noisy = true, .may_be_log = true});
  cards += runs.size() == 1 ? validation_card(runs[0], clock) : macro_card(runs, clock);
  cards += runs.size() == 1 ? drawn_card(runs[0], clock)
                            : step_card(runs, clock,
                                        {.title = "Drawn " + terms.error_title,
                                         .hint = "of what the sampler chose, over all domains",
                                         .field = &StepMetrics::drawn_error,
                                         .is_noisy = true,
                                         .is_percent = true});
  cards += step_card(runs, clock,
                     {.title = "Speed", .hint = terms.speed_hint, .field = &StepMetrics::cost_per_s, .is_noisy = true});
  cards += step_card(runs, clock, {.title = "Learning rate", .hint = "of each update", .field = &StepMetrics::lr});
  cards += step_card(runs, clock,
                     {.title = "Gradient norm",
                      .hint = "before clipping",
                      .field = &StepMetrics::grad_norm,
                      .is_noisy = true,
                      .may_be_log = true});
  return "<div class=\"grid2\">\n" + cards + "</div>\n";
}

std::string shares_of_time(const Runs& runs) {
  std::string html;
  for (const ReportRun& run : runs) {
    const auto shares = phase_shares(run.metrics);
    if (std::ranges::all_of(shares, [](double share) { return share == 0; })) continue;
    std::string bar = "<div class=\"share\">";
    std::vector<LegendItem> legend;
    for (size_t i = 0; i < shares.size(); ++i) {
      const std::string color = i + 1 == shares.size() ? "none" : series_color(i);
      const std::string text =
          fmt::format("{} {}", *kPhases[i].name ? kPhases[i].name : terms_of(run.metrics.task).loss_phase_title,
                      format_percent(shares[i]));
      if (shares[i] > 0)
        bar += fmt::format("<i class=\"{}\" style=\"width:{:.2f}%\" title=\"{}\"></i>", color, 100 * shares[i], text);
      legend.push_back({color, text});
    }
    html += html_card(run.name, "of the training time on the coordinating rank", bar + "</div>" + html_legend(legend));
  }
  return html;
}

}  // namespace rehearse
