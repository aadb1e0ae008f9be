#include "trainer/observe/progress.h"

#include <gtest/gtest.h>

#include "trainer/base/text/table.h"

namespace rehearse {
namespace {

StepSummary example() {
  StepSummary summary{.total_steps = 1200, .budget_share = 0.35, .remaining_s = 192};
  summary.metrics = {
      .step = 420, .passes = 2.14, .loss = 0.8124, .ratios = {0.142}, .drawn_error = 0.104, .target_error = 0.1};
  summary.metrics.lr = 1.9e-3;
  summary.metrics.grad_norm = 2.11;
  summary.metrics.cost_per_s = 214.4;
  summary.metrics.phase_s = {0.01, 0.35, 0.03, 0.52, 0.04, 0.02, 0.03};
  return summary;
}

const TaskTerms& speech() {
  return terms_of(kFirstTask);
}

TEST(FormatDuration, ShowsMinutesThenHours) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(7.4), "0:07");
  EXPECT_EQ(format_duration(192), "3:12");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(360000), "100:00:00");
  EXPECT_EQ(format_duration(kUnknown), "-");
  EXPECT_EQ(format_duration(-1), "-");
  EXPECT_EQ(format_duration(1e300), "-");
}

TEST(FormatRate, HasTwoDigitsAndAShortExponent) {
  EXPECT_EQ(format_rate(1.9e-3), "1.9e-3");
  EXPECT_EQ(format_rate(0), "0");
  EXPECT_EQ(format_rate(1.26e-12), "1.3e-12");
  EXPECT_EQ(format_rate(2), "2.0e0");
  EXPECT_EQ(format_rate(kUnknown), "-");
}

TEST(LogLine, TellsEverythingOnOneLine) {
  EXPECT_EQ(log_line(example(), speech()),
            "step 420/1200 35% | pass 2.1 | loss/token 0.812 | CER 14.2% drawn 10.4/10% | lr 1.9e-3 | |g| 2.1 | "
            "214 audio-s/s | ETA 3:12 | data 1 fwd 35 ctc 3 bwd 52 com 4 upd 2 %");
}

TEST(LogLine, ShowsADashForWhatIsUnknown) {
  EXPECT_EQ(log_line({}, speech()),
            "step 0 0% | pass 0.0 | loss/token - | CER drawn -/-% | lr - | |g| - | - audio-s/s | ETA -");
}

TEST(LogLine, SkippedUpdatesAreSaid) {
  StepSummary summary = example();
  summary.metrics.skipped = 3;
  EXPECT_TRUE(log_line(summary, speech()).ends_with("| skipped 3"));
}

TEST(LogLine, DrawsThatTaughtNothingAreSaid) {
  StepSummary summary = example();
  summary.metrics.unreadable = 2;
  summary.metrics.infeasible = 5;
  EXPECT_TRUE(log_line(summary, speech()).ends_with("| unreadable 2 | infeasible 5")) << log_line(summary, speech());
}

TEST(StatusLine, NeverExceedsTheTerminal) {
  for (size_t width = 0; width < 200; ++width) EXPECT_LE(display_width(status_line(example(), speech(), width)), width);
  EXPECT_EQ(status_line(example(), speech(), 200), log_line(example(), speech()));
}

TEST(StatusLine, ANarrowTerminalKeepsStepLossCerAndTimeLeft) {
  EXPECT_EQ(status_line(example(), speech(), 80),
            "step 420/1200 35% | loss/token 0.812 | CER 14.2% drawn 10.4/10% | ETA 3:12");
  EXPECT_EQ(status_line(example(), speech(), 20), "step 420/1200 35%");
  EXPECT_EQ(status_line(example(), speech(), 9), "step 420…");
}

}  // namespace
}  // namespace rehearse
