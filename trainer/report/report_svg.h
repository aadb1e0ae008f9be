// Charts as inline SVG. Colours are CSS classes of the page (report_html.h), so light and dark need no second drawing.
#pragma once

#include <string>
#include <vector>

namespace rehearse {

// A y that is not finite leaves a gap.
struct ChartPoint {
  double x = 0;
  double y = 0;
};

struct ChartSeries {
  enum class Look { kLine, kFaint, kDashed, kDots };
  std::string color;  // CSS class
  Look look = Look::kLine;
  std::vector<ChartPoint> points;  // ascending x
};

struct Chart {
  std::string label;  // for screen readers
  std::string x_label;
  bool is_percent = false;  // y is a share, shown per cent
  bool is_log = false;      // y only; points <= 0 are gaps
  double x_end = 0;         // the x axis reaches at least to here
  double y_cap = 0;         // what lies above leaves the picture; 0: nothing does
  std::vector<ChartSeries> series;
};

// 420 x 230 units, as wide as its place. Without any point it says that there is nothing yet.
std::string draw_chart(const Chart& chart);

// True when a logarithmic axis reads better: all positive values, the middle far below the top.
bool spans_magnitudes(const std::vector<ChartPoint>& points);

// At most about max_points, each the mean of its neighbours; gaps stay out of the means.
std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points, size_t max_points);
// Mean of the middle half of up to `half_window` known neighbours on either side, equally many: outliers do not count,
// and a straight line stays as it is.
std::vector<ChartPoint> smoothed(const std::vector<ChartPoint>& points, size_t half_window);

// One rate with its interval, beside another one of the same set.
struct IntervalMark {
  std::string color;  // CSS class
  double rate = 0;
  double low = 0;
  double high = 0;
};
struct IntervalRow {
  std::string name;
  std::vector<IntervalMark> marks;  // drawn one below the other
};
// Shares on one axis, a row for each set; `label` names the axis; marks whose rate is not finite are left out.
std::string draw_intervals(const std::vector<IntervalRow>& rows, const std::string& label);

}  // namespace rehearse
