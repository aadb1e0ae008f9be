#include "trainer/report/report_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "trainer/base/text/table.h"
#include "trainer/report/report_html.h"

namespace rehearse {
namespace {

constexpr double kWidth = 420, kHeight = 230;
constexpr double kLeft = 44, kRight = 14, kTop = 12, kBottom = 40;
constexpr double kUnknownY = std::numeric_limits<double>::quiet_NaN();

bool is_drawable(double value) {
  constexpr double kLargest = 1e12;  // beyond it tick labels and their spacing stop making sense
  return std::isfinite(value) && std::abs(value) <= kLargest;
}

// Maps values to the picture; ticks are values.
struct Axis {
  double min = 0, max = 1;
  double from = 0, to = 1;  // in the picture
  bool is_log = false;
  std::vector<double> ticks;
  double tick_step = 1;

  double at(double value) const {
    const double share = is_log ? std::log(value / min) / std::log(max / min) : (value - min) / (max - min);
    return from + share * (to - from);
  }
};

double nice_step(double span, int num_ticks) {
  const double raw = span / num_ticks;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 2.5, 5.0})
    if (raw <= factor * power * (1 + 1e-9)) return factor * power;
  return 10 * power;
}

Axis linear_axis(double min, double max, int num_ticks) {
  if (!(max - min > 1e-9 * std::max(std::abs(max), 1e-9))) max = min + std::max(std::abs(min), 1e-6);
  Axis axis;
  axis.tick_step = nice_step(max - min, num_ticks);
  axis.min = std::floor(min / axis.tick_step + 1e-9) * axis.tick_step;
  axis.max = std::ceil(max / axis.tick_step - 1e-9) * axis.tick_step;
  const int num_steps = static_cast<int>(std::lround((axis.max - axis.min) / axis.tick_step));
  for (int i = 0; i <= num_steps; ++i) axis.ticks.push_back(axis.min + i * axis.tick_step);
  return axis;
}

Axis log_axis(double min, double max) {
  Axis axis{.is_log = true};
  const bool is_wide = max / min > 300;
  const std::vector<double> factors = is_wide ? std::vector<double>{1} : std::vector<double>{1, 2, 5};
  const int first = static_cast<int>(std::floor(std::log10(min)));
  const int last = static_cast<int>(std::ceil(std::log10(max)));
  const int stride = 1 + (last - first) / 8;
  for (int exponent = first; exponent <= last; exponent += is_wide ? stride : 1)
    for (double factor : factors) axis.ticks.push_back(factor * std::pow(10, exponent));
  // Keep the ticks in between and one on either side.
  while (axis.ticks.size() > 2 && axis.ticks[1] <= min) axis.ticks.erase(axis.ticks.begin());
  while (axis.ticks.size() > 2 && axis.ticks[axis.ticks.size() - 2] >= max) axis.ticks.pop_back();
  axis.min = std::min(min, axis.ticks.front());
  axis.max = std::max(max, axis.ticks.back());
  return axis;
}

std::string trimmed(double value, int digits) {
  std::string text = fmt::format("{:.{}f}", value, digits);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

std::string tick_text(double value, double step, bool is_percent) {
  if (is_percent) {
    const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(100 * step) - 1e-9)), 0, 4);
    return trimmed(100 * value, digits + 1) + "%";
  }
  if (std::abs(value) < 1e-12 * std::max(1.0, step)) return "0";
  const double size = std::abs(value);
  if (size >= 1e6) return trimmed(value / 1e6, 2) + "M";
  if (size >= 1e4) return trimmed(value / 1e3, 2) + "k";
  if (size < 9.99e-3) {
    std::string text = fmt::format("{:.1e}", value);  // "2.0e-04"
    const size_t e = text.find('e');
    return trimmed(std::stod(text.substr(0, e)), 1) + "e" + std::to_string(std::stoi(text.substr(e + 1)));
  }
  return trimmed(value, 4);
}

struct Frame {
  Axis x, y;
};

bool is_shown(const ChartPoint& point, bool is_log) {
  constexpr double kSmallestLog = 1e-12;
  return is_drawable(point.x) && is_drawable(point.y) && (!is_log || point.y > kSmallestLog);
}

// False when there is nothing to draw.
bool find_frame(const Chart& chart, Frame& frame) {
  double x_min = std::numeric_limits<double>::max(), x_max = -x_min, y_min = x_min, y_max = -x_min;
  for (const ChartSeries& series : chart.series)
    for (const ChartPoint& point : series.points) {
      if (!is_shown(point, chart.is_log)) continue;
      x_min = std::min(x_min, point.x);
      x_max = std::max(x_max, point.x);
      y_min = std::min(y_min, point.y);
      y_max = std::max(y_max, point.y);
    }
  if (x_min > x_max) return false;
  if (is_drawable(chart.x_end)) x_max = std::max(x_max, chart.x_end);
  if (chart.y_cap > 0 && !chart.is_log) y_max = std::min(y_max, chart.y_cap);
  frame.x = linear_axis(std::min(0.0, x_min), x_max, 5);
  // The axis ends where the run does: rounding up to a tick would leave a hole at its right.
  if (x_max > frame.x.min) frame.x.max = x_max;
  while (frame.x.ticks.size() > 1 && frame.x.ticks.back() > frame.x.max * (1 + 1e-9)) frame.x.ticks.pop_back();
  frame.y = chart.is_log ? log_axis(y_min, y_max) : linear_axis(std::min(0.0, y_min), y_max, 5);
  frame.x.from = kLeft;
  frame.x.to = kWidth - kRight;
  frame.y.from = kHeight - kBottom;
  frame.y.to = kTop;
  return true;
}

std::string draw_frame(const Chart& chart, const Frame& frame) {
  std::string svg;
  for (double tick : frame.y.ticks) {
    const double y = frame.y.at(tick);
    svg += fmt::format("<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft,
                       kWidth - kRight, y, y);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 6, y + 4,
                       tick_text(tick, frame.y.tick_step, chart.is_percent));
  }
  for (double tick : frame.x.ticks) {
    const double x = frame.x.at(tick);
    svg += fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", x,
                       kHeight - kBottom, kHeight - kBottom + 4);
    // A label at the very end would leave the picture.
    const char* anchor = x > kWidth - kRight - 6 ? "end" : "middle";
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>",
                       anchor[0] == 'e' ? x + kRight - 2 : x, kHeight - kBottom + 17, anchor,
                       tick_text(tick, frame.x.tick_step, false));
  }
  svg += fmt::format("<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>", kLeft,
                     kWidth - kRight, kHeight - kBottom);
  svg += fmt::format("<text class=\"name\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
                     (kLeft + kWidth - kRight) / 2, kHeight - 6, escape_html(chart.x_label));
  return svg;
}

const char* look_class(ChartSeries::Look look) {
  switch (look) {
    case ChartSeries::Look::kFaint:
      return "line faint";
    case ChartSeries::Look::kDashed:
      return "line dashed";
    default:
      return "line";
  }
}

std::string draw_dot(double x, double y, const std::string& color, double radius) {
  return fmt::format("<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>", color, x, y, radius);
}

std::string draw_series(const ChartSeries& series, const Frame& frame) {
  std::string path, dots;
  size_t in_piece = 0;
  ChartPoint last;
  const auto end_piece = [&] {  // a piece of one point has no line
    if (in_piece == 1) dots += draw_dot(frame.x.at(last.x), frame.y.at(last.y), series.color, 2.2);
    in_piece = 0;
  };
  for (const ChartPoint& point : series.points) {
    if (!is_shown(point, frame.y.is_log)) {
      end_piece();
      continue;
    }
    const double x = frame.x.at(point.x), y = frame.y.at(point.y);
    path += fmt::format("{}{:.1f} {:.1f}", in_piece == 0 ? "M" : "L", x, y);
    if (series.look == ChartSeries::Look::kDots) dots += draw_dot(x, y, series.color, 2.6);
    last = point;
    ++in_piece;
  }
  if (series.look != ChartSeries::Look::kDots) end_piece();
  return fmt::format("<path class=\"{} {}\" d=\"{}\"/>", look_class(series.look), series.color, path) + dots;
}

std::string open_svg(double height, const std::string& label, const char* css = "chart") {
  return fmt::format("<svg class=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", css, kWidth, height,
                     escape_html(label));
}

}  // namespace

std::string draw_chart(const Chart& chart) {
  Frame frame;
  std::string svg = open_svg(kHeight, chart.label);
  if (!find_frame(chart, frame))
    return svg + fmt::format("<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">nothing yet</text></svg>",
                             kWidth / 2, kHeight / 2);
  svg += draw_frame(chart, frame);
  // The inner picture cuts off what leaves the axes; half a line's width may.
  svg += fmt::format("<svg x=\"0\" y=\"{0}\" width=\"{1}\" height=\"{2}\" viewBox=\"0 {0} {1} {2}\">", kTop - 3, kWidth,
                     kHeight - kBottom - kTop + 6);
  for (const ChartSeries& series : chart.series) svg += draw_series(series, frame);
  return svg + "</svg></svg>";
}

bool spans_magnitudes(const std::vector<ChartPoint>& points) {
  std::vector<double> values;
  for (const ChartPoint& point : points)
    if (is_drawable(point.y)) values.push_back(point.y);
  if (values.empty()) return false;
  std::ranges::sort(values);
  constexpr double kTopOverMiddle = 12;
  return values.front() > 0 && values.back() > kTopOverMiddle * values[values.size() / 2];
}

std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points, size_t max_points) {
  if (points.size() <= max_points) return points;
  const size_t group = (points.size() + max_points - 1) / max_points;
  std::vector<ChartPoint> result;
  for (size_t begin = 0; begin < points.size(); begin += group) {
    ChartPoint mean{0, kUnknownY};
    double sum = 0;
    size_t num_known = 0;
    const size_t end = std::min(begin + group, points.size());
    for (size_t i = begin; i < end; ++i) {
      mean.x += points[i].x / static_cast<double>(end - begin);
      if (!std::isfinite(points[i].y)) continue;
      sum += points[i].y;
      ++num_known;
    }
    if (num_known > 0) mean.y = sum / static_cast<double>(num_known);
    result.push_back(mean);
  }
  return result;
}

std::vector<ChartPoint> smoothed(const std::vector<ChartPoint>& points, size_t half_window) {
  std::vector<double> known;
  for (const ChartPoint& point : points)
    if (is_drawable(point.y)) known.push_back(point.y);
  std::vector<ChartPoint> result = points;
  size_t i = 0;
  for (ChartPoint& point : result) {
    if (!is_drawable(point.y)) continue;
    const size_t half = std::min({half_window, i, known.size() - 1 - i});
    std::vector<double> window(known.data() + i - half, known.data() + i + half + 1);
    std::ranges::sort(window);
    const size_t first = (half + 1) / 2, last = window.size() - first;
    point.y = std::accumulate(window.data() + first, window.data() + last, 0.0) / static_cast<double>(last - first);
    ++i;
  }
  return result;
}

std::string draw_intervals(const std::vector<IntervalRow>& rows, const std::string& label) {
  constexpr double kName = 18, kMark = 13, kGap = 8, kAxis = 34, kSide = 10;
  double top = 0, height = 4;
  for (const IntervalRow& row : rows) {
    height += kName + kMark * static_cast<double>(row.marks.size()) + kGap;
    for (const IntervalMark& mark : row.marks)
      for (double value : {mark.rate, mark.low, mark.high})
        if (is_drawable(value)) top = std::max(top, value);
  }
  Axis axis = linear_axis(0, std::max(top, 0.01), 5);
  axis.from = kSide;
  axis.to = kWidth - 2 * kSide - 6;
  std::string svg = open_svg(height + kAxis, label, "chart");
  for (double tick : axis.ticks) {
    const double x = axis.at(tick);
    svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"4\" y2=\"{1:.1f}\"/>", x, height);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", x, height + 14,
                       tick_text(tick, axis.tick_step, true));
  }
  double y = 4;
  for (const IntervalRow& row : rows) {
    svg += fmt::format("<text class=\"row\" x=\"{}\" y=\"{:.1f}\">{}</text>", kSide + 3, y + 13,
                       escape_html(fit_width(row.name, 56)));
    y += kName;
    for (const IntervalMark& mark : row.marks) {
      const double middle = y + kMark / 2;
      y += kMark;
      if (!is_drawable(mark.rate)) continue;
      if (is_drawable(mark.low) && is_drawable(mark.high))
        svg += fmt::format("<line class=\"bar {0}\" x1=\"{1:.1f}\" x2=\"{2:.1f}\" y1=\"{3:.1f}\" y2=\"{3:.1f}\"/>",
                           mark.color, axis.at(mark.low), axis.at(mark.high), middle);
      svg += draw_dot(axis.at(mark.rate), middle, mark.color, 4);
    }
    y += kGap;
  }
  svg += fmt::format("<text class=\"name\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", kWidth / 2,
                     height + kAxis - 5, escape_html(label));
  return svg + "</svg>";
}

}  // namespace rehearse
