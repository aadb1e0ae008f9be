#include "trainer/report/report_svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rehearse {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

size_t count_of(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

Chart chart_of(std::vector<ChartPoint> points) {
  return {.label = "a", .x_label = "updates", .series = {{.color = "c0", .points = std::move(points)}}};
}

TEST(DrawChart, SaysWhenThereIsNothingToDraw) {
  EXPECT_THAT(draw_chart(chart_of({})), HasSubstr(">nothing yet<"));
  EXPECT_THAT(draw_chart(chart_of({{1, kNan}})), HasSubstr(">nothing yet<"));
}

TEST(DrawChart, TicksAreRoundAndHaveTheirUnit) {
  Chart chart = chart_of({{0, 0.02}, {400, 0.38}});
  chart.is_percent = true;
  const std::string svg = draw_chart(chart);
  for (const char* tick : {">0%<", ">10%<", ">40%<", ">0<", ">100<", ">400<"}) EXPECT_THAT(svg, HasSubstr(tick));
  EXPECT_THAT(draw_chart(chart_of({{0, 0.002}, {20000, 0.001}})), testing::AllOf(HasSubstr(">2e-3<"), HasSubstr("k<")));
}

TEST(DrawChart, AHigherValueIsDrawnHigher) {
  // The axes are 0 to 2 over both values: the ends of the line are at the middle and at the top.
  EXPECT_THAT(draw_chart(chart_of({{0, 1}, {10, 2}})), HasSubstr("d=\"M44.0 101.0L406.0 12.0\""));
}

TEST(DrawChart, AnUnknownValueLeavesAGap) {
  const std::string svg = draw_chart(chart_of({{0, 1}, {1, 1}, {2, kNan}, {3, 1}, {4, 1}}));
  EXPECT_EQ(count_of(svg, "M44"), 1u);
  EXPECT_EQ(count_of(svg.substr(svg.find(" d=\"")), "M"), 2u);
}

TEST(DrawChart, APointBetweenGapsIsADot) {
  EXPECT_THAT(draw_chart(chart_of({{0, kNan}, {1, 1}, {2, kNan}})), HasSubstr("<circle"));
}

TEST(DrawChart, ALogarithmicAxisLeavesOutWhatIsNotPositive) {
  Chart chart = chart_of({{0, 0}, {1, 100}, {2, 1}, {3, -1}});
  chart.is_log = true;
  const std::string svg = draw_chart(chart);
  EXPECT_EQ(count_of(svg.substr(svg.find(" d=\"")), "L"), 1u);
  EXPECT_THAT(svg, HasSubstr(">100<"));
}

TEST(DrawChart, WhatLiesAboveTheCapDoesNotStretchTheAxis) {
  Chart chart = chart_of({{0, 100}, {1, 1}});
  chart.y_cap = 5;
  EXPECT_THAT(draw_chart(chart), testing::AllOf(HasSubstr(">5<"), Not(HasSubstr(">100<"))));
}

TEST(DrawChart, ExtremeValuesNeverReachThePictureAsNanOrInfinity) {
  const double extremes[] = {0, -0.0, 1, -1, 1e-320, 1e-12, 1e12, -1e12, 1e308, -1e308, INFINITY, -INFINITY, kNan};
  for (double a : extremes)
    for (double b : extremes)
      for (bool is_log : {false, true}) {
        Chart chart = chart_of({{a, b}, {b, a}, {1, b}});
        chart.is_log = is_log;
        chart.is_percent = is_log;
        chart.y_cap = b;
        chart.x_end = a;
        const std::string svg = draw_chart(chart);
        EXPECT_THAT(svg, Not(HasSubstr("nan"))) << a << " " << b;
        EXPECT_THAT(svg, Not(HasSubstr("inf"))) << a << " " << b;
        EXPECT_LT(svg.size(), 20000u) << a << " " << b;
      }
}

TEST(DrawIntervals, LeavesOutUnknownRatesAndEscapesNames) {
  const std::string svg = draw_intervals({{"<a>", {{"c0", 0.1, 0.05, 0.2}, {"c1", kNan, 0, 1}}}, {"b", {}}}, "CER");
  EXPECT_EQ(count_of(svg, "<circle"), 1u);
  EXPECT_THAT(svg, HasSubstr("&lt;a&gt;"));
  EXPECT_THAT(draw_intervals({}, "CER"), HasSubstr("</svg>"));
}

TEST(Smoothed, KeepsAStraightLineAndDropsAnOutlier) {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 50; ++i) points.push_back({double(i), 3.0 * i});
  const auto line = smoothed(points, 5);
  for (int i = 0; i < 50; ++i) EXPECT_NEAR(line[i].y, 3.0 * i, 1e-9) << i;
  points[20].y = 1e6;
  points[30].y = kNan;
  const auto robust = smoothed(points, 5);
  EXPECT_LT(robust[20].y, 75);
  EXPECT_TRUE(std::isnan(robust[30].y));
}

TEST(Thinned, KeepsTheMeanAndTheGaps) {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 1000; ++i) points.push_back({double(i), i < 500 ? 2.0 : kNan});
  const auto few = thinned(points, 100);
  ASSERT_EQ(few.size(), 100u);
  EXPECT_DOUBLE_EQ(few[0].x, 4.5);
  EXPECT_DOUBLE_EQ(few[49].y, 2);
  EXPECT_TRUE(std::isnan(few[50].y));
  EXPECT_EQ(thinned(points, 1000).size(), 1000u);
}

}  // namespace
}  // namespace rehearse
