#include "trainer/observe/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

// `importance` orders what a narrow terminal loses: the lowest first.
struct Part {
  std::string text;
  int importance;
};

std::string format_number(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}

// 0.1 is "10" and 0.125 is "12.5".
std::string short_percent(double share) {
  if (!std::isfinite(share)) return "-";
  std::string text = fmt::format("{:.1f}", 100 * share);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

std::string step_part(const StepSummary& summary) {
  std::string text = fmt::format("step {}", summary.metrics.step);
  if (summary.total_steps > 0) text += fmt::format("/{}", summary.total_steps);
  return text + fmt::format(" {:.0f}%", 100 * std::clamp(summary.budget_share, 0.0, 1.0));
}

std::string phases_part(const PhaseSeconds& phases, const TaskTerms& terms) {
  const auto known = [](double seconds) { return std::isfinite(seconds) ? seconds : 0; };
  const double total = known(phases.data) + known(phases.forward) + known(phases.loss) + known(phases.backward) +
                       known(phases.communication) + known(phases.update) + known(phases.other);
  if (!(total > 0)) return "";
  const auto share = [&](double seconds) { return std::lround(100 * known(seconds) / total); };
  return fmt::format("data {} fwd {} {} {} bwd {} com {} upd {} %", share(phases.data), share(phases.forward),
                     terms.loss_phase, share(phases.loss), share(phases.backward), share(phases.communication),
                     share(phases.update));
}

// "error 14.2% drawn 10.3/10%"
std::string error_part(const StepMetrics& metrics, const TaskTerms& terms) {
  std::string text = terms.error_title;
  for (size_t i = 0; i < std::min(terms.ratios.size(), metrics.ratios.size()); ++i)
    if (terms.ratios[i].is_in_line) text = terms.ratios[i].title + " " + format_percent(metrics.ratios[i]);
  return text +
         fmt::format(" drawn {}/{}%", format_number(100 * metrics.drawn_error, 1), short_percent(metrics.target_error));
}

std::vector<Part> parts_of(const StepSummary& summary, const TaskTerms& terms) {
  const StepMetrics& metrics = summary.metrics;
  std::vector<Part> parts = {
      {step_part(summary), 10},
      {"pass " + format_number(metrics.passes, 1), 4},
      {terms.loss_title + " " + format_number(metrics.loss, terms.loss_digits), 9},
      {error_part(metrics, terms), 8},
      {"lr " + format_rate(metrics.lr), 3},
      {"|g| " + format_number(metrics.grad_norm, 1), 2},
      {format_number(metrics.cost_per_s, 0) + " " + terms.speed_title, 5},
      {"ETA " + format_duration(summary.remaining_s), 7},
  };
  if (std::string phases = phases_part(metrics.phase_s, terms); !phases.empty())
    parts.push_back({std::move(phases), 1});
  if (metrics.skipped > 0) parts.push_back({fmt::format("skipped {}", metrics.skipped), 6});
  if (metrics.unreadable > 0) parts.push_back({fmt::format("unreadable {}", metrics.unreadable), 6});
  if (metrics.infeasible > 0) parts.push_back({fmt::format("infeasible {}", metrics.infeasible), 6});
  return parts;
}

std::string joined(const std::vector<Part>& parts) {
  std::string line;
  for (const Part& part : parts) line += (line.empty() ? "" : " | ") + part.text;
  return line;
}

}  // namespace

std::string format_duration(double seconds) {
  constexpr double kLongest = 1e9;
  if (!(seconds >= 0) || seconds > kLongest) return "-";
  const int64_t whole = std::llround(seconds);
  const int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
  return fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string format_percent(double share) {
  return std::isfinite(share) ? fmt::format("{:.1f}%", 100 * share) : "-";
}

std::string format_score(double value, const ScoreTerm& term) {
  if (term.is_percent) return format_percent(value);
  return std::isfinite(value) ? fmt::format("{:.4g}", value) : "-";
}

std::string format_rate(double value) {
  if (!std::isfinite(value)) return "-";
  if (value == 0) return "0";
  const std::string text = fmt::format("{:.1e}", value);
  const size_t e = text.find('e');
  return text.substr(0, e + 1) + std::to_string(std::stoi(text.substr(e + 1)));
}

std::string status_line(const StepSummary& summary, const TaskTerms& terms, size_t width) {
  std::vector<Part> parts = parts_of(summary, terms);
  const auto less_important = [](const Part& a, const Part& b) { return a.importance < b.importance; };
  while (parts.size() > 1 && display_width(joined(parts)) > width)
    parts.erase(std::ranges::min_element(parts, less_important));
  return fit_width(joined(parts), width);
}

std::string log_line(const StepSummary& summary, const TaskTerms& terms) {
  return joined(parts_of(summary, terms));
}

}  // namespace rehearse
