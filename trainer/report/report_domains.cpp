#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "trainer/observe/progress.h"
#include "trainer/report/report_curves.h"
#include "trainer/report/report_html.h"
#include "trainer/report/report_svg.h"

namespace rehearse {
namespace {

using Runs = std::vector<ReportRun>;

constexpr size_t kMaxPoints = 400;  // of one curve: more than its picture has columns for

const char* state_color(const std::string& state) {
  if (state == "on target") return "good";
  if (state == "learned") return "done";
  if (state == "breadth") return "warn";
  if (state == "too hard") return "bad";
  return "none";
}

struct DomainPoint {
  double x = 0;
  double drawn_error = kUnknown;
  double target = kUnknown;
  std::string state;
};

struct DomainHistory {
  std::string name;
  std::vector<std::vector<DomainPoint>> points;  // of each run
  nlohmann::json last;                           // the first run's latest report
  double validation = kUnknown;                  // the first run's latest, of the set of this domain
};

// What a sampler does not report is unknown.
double number_in(const nlohmann::json& domain, const char* name) {
  auto found = domain.find(name);
  return found != domain.end() && found->is_number() ? found->get<double>() : kUnknown;
}

DomainPoint domain_point(const nlohmann::json& domain, double x, const TaskTerms& terms) {
  const std::string key = "drawn_" + terms.error_key;
  DomainPoint point{.x = x, .drawn_error = number_in(domain, key.c_str()), .target = number_in(domain, "target")};
  if (number_in(domain, "drawn_window") == 0) point.drawn_error = kUnknown;  // nothing observed yet
  auto state = domain.find("state");
  if (state != domain.end() && state->is_string()) point.state = state->get<std::string>();
  return point;
}

std::vector<DomainHistory> domain_histories(const Runs& runs, const RunClock& clock) {
  std::vector<DomainHistory> histories;
  for (size_t run = 0; run < runs.size(); ++run) {
    const Metrics& metrics = runs[run].metrics;
    size_t step = 0;
    for (const DomainsMetrics& line : metrics.domains) {
      // A domains line has no time of its own: it belongs to the step line of the same step.
      while (step + 1 < metrics.steps.size() && metrics.steps[step].step < line.step) ++step;
      const double time_s = step < metrics.steps.size() ? metrics.steps[step].time_s : kUnknown;
      for (const nlohmann::json& domain : line.domains) {
        const std::string name = domain.at("name").get<std::string>();
        auto found = std::ranges::find(histories, name, &DomainHistory::name);
        if (found == histories.end())
          found = histories.insert(found, {name, std::vector<std::vector<DomainPoint>>(runs.size()), {}});
        found->points[run].push_back(domain_point(domain, clock.at(run, line.step, time_s), terms_of(metrics.task)));
        if (run == 0) found->last = domain;
      }
    }
  }
  if (!runs.empty() && !runs[0].metrics.validations.empty())
    for (const ValidationSet& set : runs[0].metrics.validations.back().sets) {
      const auto found = std::ranges::find(histories, set.domain, &DomainHistory::name);
      if (found != histories.end()) found->validation = set.scores.empty() ? kUnknown : set.scores[0];
    }
  return histories;
}

std::vector<DomainPoint> thinned_domain(const std::vector<DomainPoint>& points) {
  const size_t stride = points.size() / kMaxPoints + 1;
  std::vector<DomainPoint> result;
  for (size_t i = 0; i < points.size(); i += stride) result.push_back(points[i]);
  if (!points.empty() && (points.size() - 1) % stride != 0) result.push_back(points.back());
  return result;
}

// A piece of curve for each stretch of one state; pieces touch.
std::vector<ChartSeries> state_pieces(const std::vector<DomainPoint>& points) {
  std::vector<ChartSeries> pieces;
  for (size_t i = 0; i < points.size(); ++i) {
    const std::string color = state_color(points[i].state);
    if (pieces.empty() || pieces.back().color != color) {
      pieces.push_back({color, ChartSeries::Look::kLine, {}});
      if (i > 0) pieces.back().points.push_back({points[i - 1].x, points[i - 1].drawn_error});
    }
    pieces.back().points.push_back({points[i].x, points[i].drawn_error});
  }
  return pieces;
}

// True when the second half of training was mostly held up by the floor on breadth.
bool is_pinned(const std::vector<DomainPoint>& points) {
  const auto half = static_cast<std::ptrdiff_t>(points.size() / 2);
  const auto pinned = std::count_if(points.begin() + half, points.end(), [](const DomainPoint& point) {
    return point.state == "breadth" && point.drawn_error > point.target;
  });
  return pinned * 2 > static_cast<std::ptrdiff_t>(points.size()) - half;
}

std::string domain_hint(const DomainHistory& history, const TaskTerms& terms) {
  const nlohmann::json& last = history.last;
  std::string hint;
  const auto add = [&](const std::string& text) { hint += (hint.empty() ? "" : " · ") + text; };
  if (std::isfinite(number_in(last, "share"))) add("share " + format_percent(number_in(last, "share")));
  if (auto state = last.find("state"); state != last.end() && state->is_string()) add(state->get<std::string>());
  if (std::isfinite(number_in(last, "lambda"))) add(fmt::format("λ {:.1f}", number_in(last, "lambda")));
  if (number_in(last, "quarantined") > 0) add(fmt::format("{:.0f} quarantined", number_in(last, "quarantined")));
  // What is learned by heart looks easy: the gap to what is not drawn tells.
  const std::string table_key = "table_" + terms.error_key;
  if (const double gap = history.validation - number_in(last, table_key.c_str()); std::isfinite(gap))
    add(fmt::format("validation − table {} {:+.1f} points", terms.error_title, 100 * gap));
  if (is_pinned(history.points.front()))
    add(fmt::format("mostly held up by min_breadth: a higher target_{} suits this domain", terms.error_key));
  return hint;
}

std::string domain_card(const DomainHistory& history, const RunClock& clock, const TaskTerms& terms) {
  Chart chart{.label = fmt::format("drawn {} of {}", terms.error_title, history.name),
              .x_label = clock.label(),
              .is_percent = true};
  chart.y_cap = 5 * number_in(history.last, "target");  // the start, at nearly 100 %, would hide how well it is held
  ChartSeries target{"ink", ChartSeries::Look::kDashed, {}};
  for (size_t run = 0; run < history.points.size(); ++run) {
    const std::vector<DomainPoint> points = thinned_domain(history.points[run]);
    if (target.points.empty())
      for (const DomainPoint& point : points) target.points.push_back({point.x, point.target});
    std::vector<ChartSeries> pieces = state_pieces(points);
    if (history.points.size() > 1) {
      pieces = {{series_color(run), ChartSeries::Look::kLine, {}}};
      for (const DomainPoint& point : points) pieces[0].points.push_back({point.x, point.drawn_error});
    }
    chart.series.insert(chart.series.end(), pieces.begin(), pieces.end());
  }
  chart.series.push_back(std::move(target));
  return html_card(history.name, domain_hint(history, terms), draw_chart(chart));
}

}  // namespace

std::string domain_curves(const Runs& runs) {
  const RunClock clock(runs);
  const std::vector<DomainHistory> histories = domain_histories(runs, clock);
  if (histories.empty()) return "";
  std::vector<LegendItem> legend;
  if (runs.size() == 1) {
    legend = {{"good", "on target"}, {"done", "learned"}, {"warn", "held up by breadth"}, {"bad", "too hard"}};
  } else {
    legend = run_legend(runs);
  }
  const auto is_uncontrolled = [](const DomainHistory& history) {
    return std::ranges::any_of(history.points.front(), [](const DomainPoint& point) {
      return std::string(state_color(point.state)) == "none";
    });
  };
  if (runs.size() == 1 && std::ranges::any_of(histories, is_uncontrolled))
    legend.push_back({"none", "not controlled (uniform or held)"});
  legend.push_back({"ink", "target", true});
  std::string html = html_legend(legend) + "<div class=\"grid2\">\n";
  for (const DomainHistory& history : histories) html += domain_card(history, clock, terms_of(runs[0].metrics.task));
  return html + "</div>\n";
}

}  // namespace rehearse
