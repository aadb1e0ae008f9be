#include "trainer/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "trainer/base/error.h"
#include "trainer/base/random.h"
#include "trainer/report/report_html.h"

namespace rehearse {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The first tag that is not closed where it should be; empty when all are.
std::string first_unbalanced_tag(const std::string& html) {
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    if (end == std::string::npos) return html.substr(at, 40);
    const std::string tag = html.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" \n"));
    if (tag.ends_with("/") || tag.starts_with("!") || name == "meta") continue;
    if (!tag.starts_with("/")) {
      open.push_back(name);
    } else if (open.empty() || "/" + open.back() != name) {
      return tag;
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back();
}

std::string sample_metrics() {
  std::string text =
      metrics_line(
          StartMetrics{
              .config_hash = "abc", .device = "cpu", .ranks = 2, .threads = 1, .versions = {{"libtorch", "2.11.0"}}})
          .dump() +
      "\n";
  for (uint64_t step = 10; step <= 100; step += 10) {
    StepMetrics metrics{.step = step, .time_s = 36.0 * double(step), .passes = 1, .draws = step * 40};
    metrics.loss = 100.0 / double(step);
    metrics.drawn_error = 0.1;
    metrics.target_error = 0.1;
    metrics.phase_s = {1, 2, 3, 4, 5, 6, 7};
    text += metrics_line(metrics, terms_of(kFirstTask)).dump() + "\n";
    nlohmann::json domain = {{"name", "radio"}, {"state", step < 50 ? "breadth" : "on target"},
                             {"share", 0.5},    {"drawn_cer", 0.12},
                             {"target", 0.1},   {"lambda", 3},
                             {"quarantined", 2}};
    text += metrics_line(DomainsMetrics{step, nlohmann::json::array({domain})}).dump() + "\n";
  }
  text += metrics_line(ValidationMetrics{100, 3600, {{"valid", "radio", 12, 0.5, {0.2, 0.4}, 1.5}}, {0.2, 0.4}},
                       terms_of(kFirstTask))
              .dump() +
          "\n";
  text += metrics_line(NoteMetrics{50, "resumed"}).dump() + "\n";
  text +=
      metrics_line(CostMetrics{100, 3600, 2, 0, 1 << 30, {1 << 30}, 3, 1, 4000}, terms_of(kFirstTask)).dump() + "\n";
  return text;
}

ReportRun sample_run(const std::string& name) {
  return {.name = name, .metrics = parse_metrics(sample_metrics(), "m.jsonl"), .config_yaml = "seed: 1\n"};
}

Evaluation evaluation_of(double cer, double half, const std::string& manifest = "test.jsonl") {
  Evaluation evaluation{.checkpoint = "checkpoints/step_100", .step = 100, .note = "basic/1"};
  evaluation.sets.push_back({.manifest = manifest,
                             .domain = "radio",
                             .examples = 10,
                             .size = 1,
                             .scores = {{cer, cer - half, cer + half}, {2 * cer, 2 * cer - half, 2 * cer + half}},
                             .is_in_training = true});
  evaluation.macro = {cer, 2 * cer};
  return evaluation;
}

TEST(Report, OfOneRunShowsItsFiguresCurvesDomainsAndConfiguration) {
  const std::string html = render_report({.runs = {sample_run("quickstart")}});
  for (const char* part : {"<h1>quickstart</h1>", "<b>20.0%</b>", "final macro CER, WER 40.0%", "1:00:00",
                           "2.00 core-hours", "2 ranks × 1 threads", "aria-label=\"Loss\"", "drawn CER of radio",
                           "λ 3.0", "2 quarantined", "backward 14.3%", "seed: 1", "libtorch 2.11.0", "resumed"})
    EXPECT_THAT(html, HasSubstr(part));
  EXPECT_EQ(first_unbalanced_tag(html), "");
}

TEST(Report, NeedsNoScriptAndNoOtherFile) {
  const std::string html = render_report({.runs = {sample_run("a")}, .after = evaluation_of(0.1, 0.01)});
  for (const char* part : {"<script", "http", "src=", "<link", "@import", "url("})
    EXPECT_THAT(html, Not(HasSubstr(part)));
}

TEST(Report, TheCurveOfADomainHasTheColourOfItsState) {
  const std::string html = render_report({.runs = {sample_run("a")}});
  const std::string chart = html.substr(html.find("drawn CER of radio"), 6000);
  EXPECT_THAT(chart, HasSubstr("class=\"line warn\""));
  EXPECT_THAT(chart, HasSubstr("class=\"line good\""));
  EXPECT_THAT(chart.substr(0, chart.find("</section>")), Not(HasSubstr("class=\"line bad\"")));
}

TEST(Report, ADomainHeldUpByBreadthIsAdvisedAHigherTarget) {
  ReportRun run = sample_run("a");
  EXPECT_THAT(render_report({.runs = {run}}), Not(HasSubstr("a higher target_cer")));
  for (DomainsMetrics& line : run.metrics.domains) line.domains[0]["state"] = "breadth";
  EXPECT_THAT(render_report({.runs = {run}}), HasSubstr("a higher target_cer"));
}

TEST(Report, SaysHowFarADomainsUnseenSpeechIsFromItsTable) {
  ReportRun run = sample_run("a");
  EXPECT_THAT(render_report({.runs = {run}}), Not(HasSubstr("table CER"))) << "this sampler kept none";
  run.metrics.domains.back().domains[0]["table_cer"] = 0.125;
  EXPECT_THAT(render_report({.runs = {run}}), HasSubstr("validation − table CER +7.5 points"));
}

TEST(Report, ADomainWithoutObservationsHasNoCurve) {
  ReportRun run = sample_run("a");
  for (DomainsMetrics& line : run.metrics.domains)
    line.domains = {{{"name", "new"}, {"drawn_cer", 0}, {"drawn_window", 0}}};
  const std::string html = render_report({.runs = {run}});
  EXPECT_THAT(html.substr(html.find("drawn CER of new"), 400), HasSubstr("nothing yet"));
}

TEST(Report, ADomainThatIsNotControlledIsInTheLegend) {
  ReportRun run = sample_run("a");
  EXPECT_THAT(render_report({.runs = {run}}), Not(HasSubstr("not controlled")));
  run.metrics.domains[0].domains[0]["state"] = "uniform";
  EXPECT_THAT(render_report({.runs = {run}}), HasSubstr("not controlled"));
}

TEST(Report, ShowsTheWorstAndBestAnswersThatATaskDrew) {
  ReportRun run = sample_run("a");
  EXPECT_THAT(render_report({.runs = {run}, .before = {}, .after = {}}), Not(HasSubstr("answers of update")));
  run.shown = {9, {{"<one>", "dark", 0.5, false, "foobar"}, {"two", "bright", 0.125, true, "fooba"}}};
  const std::string page = render_report({.runs = {run}, .before = {}, .after = {}});
  EXPECT_THAT(page, AllOf(HasSubstr("Worst answers of update 9"), HasSubstr("data:image/png;base64,Zm9vYmFy\""),
                          HasSubstr("dark: 50.0 % CER, &lt;one&gt;")));
  EXPECT_THAT(page, AllOf(HasSubstr("Best answers of update 9"), HasSubstr("data:image/png;base64,Zm9vYmE=\""),
                          HasSubstr("bright: 12.5 % CER, two")));
}

TEST(Report, OfRunsOfTwoTasksIsRefused) {
  ReportRun first = sample_run("a"), second = sample_run("b");
  second.metrics.task = "plane";
  try {
    render_report({.runs = {first, second}, .before = {}, .after = {}});
    FAIL() << "nothing thrown";
  } catch (const ConfigError& failure) {
    EXPECT_STREQ(failure.what(), "b: expected task ctc, that of a; found plane; make a report of each");
  }
}

TEST(Report, SeveralRunsAreDrawnOverHoursOfWallTimeOrGpuHours) {
  ReportRun first = sample_run("first"), second = sample_run("second");
  const std::string by_wall_time = render_report({.runs = {first, second}});
  EXPECT_THAT(by_wall_time, HasSubstr("2 runs compared"));
  EXPECT_THAT(by_wall_time, HasSubstr(">hours of wall time<"));
  EXPECT_EQ(first_unbalanced_tag(by_wall_time), "");
  first.metrics.cost->gpu_hours = second.metrics.cost->gpu_hours = 2;
  EXPECT_THAT(render_report({.runs = {first, second}}), HasSubstr(">GPU-hours<"));
}

TEST(Report, ADifferenceIsColouredOnlyWhenItExceedsItsInterval) {
  const auto render = [](double before, double after) {
    return render_report(
        {.runs = {sample_run("a")}, .before = evaluation_of(before, 0.01), .after = evaluation_of(after, 0.01)});
  };
  EXPECT_THAT(render(0.2, 0.1), HasSubstr("<span class=\"good\">−10.0 <small>± 1.4</small></span>"));
  EXPECT_THAT(render(0.1, 0.2), HasSubstr("<span class=\"bad\">+10.0 <small>± 1.4</small></span>"));
  EXPECT_THAT(render(0.11, 0.1), HasSubstr("<td>−1.0 <small>± 1.4</small></td>"));
}

// Shares of points that are near enough: more is better; and a picture's size is no number beside their count.
TEST(Report, OfATaskWithOtherFiguresIsColouredByWhatIsBetter) {
  const auto evaluation_at = [](double rate) {
    Evaluation evaluation;
    evaluation.task = "keypoints";
    EvaluatedSet set{.manifest = "dark.h5", .domain = "dark", .examples = 7, .size = 7, .scores = {}};
    for (int i = 0; i < 4; ++i) set.scores.push_back({rate, rate - 0.01, rate + 0.01});
    evaluation.sets = {set};
    evaluation.macro = {rate, rate, rate, rate};
    return evaluation;
  };
  ReportRun run = sample_run("a");
  run.metrics.task = "keypoints";
  run.metrics.validations.clear();
  const std::string page = render_report({.runs = {run}, .before = evaluation_at(0.2), .after = evaluation_at(0.3)});
  size_t good = 0, bad = 0;
  for (size_t at = page.find("<span class=\"good\">+10.0"); at != page.npos; ++good)
    at = page.find("<span class=\"good\">+10.0", at + 1);
  for (size_t at = page.find("<span class=\"bad\">+10.0"); at != page.npos; ++bad)
    at = page.find("<span class=\"bad\">+10.0", at + 1);
  EXPECT_EQ(good, 2u) << "within 5 % and within 10 %";
  EXPECT_EQ(bad, 1u) << "the error; the MSE is no percentage";
  EXPECT_THAT(page, HasSubstr("<th>pictures</th></tr>"));
}

TEST(Report, ADomainThatTheFineTuneBroughtIsCalledNew) {
  const auto tags_of = [](bool was_trained, bool is_trained) {
    Evaluation before = evaluation_of(0.5, 0.01), after = evaluation_of(0.1, 0.01);
    before.sets[0].is_in_training = was_trained;
    after.sets[0].is_in_training = is_trained;
    std::string found;
    const std::string html = render_report({.runs = {sample_run("a")}, .before = before, .after = after});
    for (const char* tag : {"trained domain", "trained before", "new domain"})
      if (html.find(concat(">", tag, "<")) != std::string::npos) found += tag;
    return found;
  };
  EXPECT_EQ(tags_of(true, true), "trained domain");
  EXPECT_EQ(tags_of(false, true), "new domain");
  EXPECT_EQ(tags_of(true, false), "trained before");
  EXPECT_EQ(tags_of(false, false), "");
}

TEST(Report, SetsOfOneEvaluationAloneHaveNoDifference) {
  const std::string html = render_report({.runs = {sample_run("a")},
                                          .before = evaluation_of(0.2, 0.01, "old.jsonl"),
                                          .after = evaluation_of(0.1, 0.01, "new.jsonl")});
  EXPECT_THAT(html, HasSubstr("radio · old.jsonl"));
  EXPECT_THAT(html, HasSubstr("radio · new.jsonl"));
  EXPECT_THAT(html, Not(HasSubstr("± 1.4")));
}

TEST(Report, EverythingFromOutsideIsEscaped) {
  const std::string evil = "<img x='1' y=\"2\">&\x01\xff";
  ReportRun run = sample_run(evil);
  run.config_yaml = evil;
  run.metrics.starts[0] = {.config_hash = "<img x>", .device = evil, .versions = {{evil, evil}}};
  run.metrics.notes[0].text = evil;
  run.metrics.domains[0].domains[0]["name"] = evil;
  run.metrics.domains.back().domains[0]["state"] = evil;
  run.metrics.validations[0].sets[0] = {.name = evil, .domain = evil, .scores = {0.1, 0.2}};
  Evaluation evaluation = evaluation_of(0.1, 0.01, evil);
  evaluation.checkpoint = evaluation.note = evaluation.sets[0].domain = evil;
  for (const std::vector<ReportRun>& runs : {std::vector{run}, std::vector{run, run}}) {
    const std::string html = render_report({.runs = runs, .before = evaluation, .after = evaluation});
    EXPECT_THAT(html, Not(HasSubstr("<img")));
    EXPECT_THAT(html, HasSubstr("&lt;img x=&#39;1&#39; y=&quot;2&quot;&gt;&amp;\xEF\xBF\xBD\xEF\xBF\xBD"));
    EXPECT_EQ(html.find('\x01'), std::string::npos);
    EXPECT_EQ(html.find('\xff'), std::string::npos);
    EXPECT_EQ(first_unbalanced_tag(html), "");
  }
}

TEST(Report, OfARunThatHasNotYetWrittenAnythingIsAPage) {
  const std::string html = render_report({.runs = {{.name = "new"}}});
  EXPECT_THAT(html, HasSubstr("nothing yet"));
  EXPECT_EQ(first_unbalanced_tag(html), "");
}

TEST(Report, AnUnfinishedLastLineIsLeftOutAndSaid) {
  ReportRun run{.name = "a", .metrics = parse_metrics(sample_metrics() + "{\"kind\":\"st", "m.jsonl")};
  EXPECT_THAT(render_report({.runs = {run}}), HasSubstr("The last line of metrics.jsonl is unfinished"));
}

TEST(Report, OfDamagedMetricsIsAWholePageThatSaysSo) {
  const uint64_t seed = 77;
  SCOPED_TRACE(concat("seed ", seed));
  const std::string good = sample_metrics();
  size_t num_damaged = 0;
  for (uint64_t trial = 0; trial < 300; ++trial) {
    const RandomKey key = RandomKey(seed).with(trial);
    std::string text = good;
    const std::vector<std::string> extremes = {"9e300", "-7",  "null", "1e-310", "{", "99999999999999999999",
                                               "[]",    "1e12"};
    for (uint64_t i = 0; i < 3; ++i) {
      const size_t begin = text.find(':', key.below(text.size() - 200, 2 * i)) + 1;
      const size_t end = text.find_first_of(",}", begin);
      text.replace(begin, end - begin, extremes[key.below(extremes.size(), 2 * i + 1)]);
    }
    const Metrics metrics = parse_metrics(text, "m.jsonl");
    const std::string html = render_report({.runs = {{.name = "a", .metrics = metrics}}});
    num_damaged += metrics.damaged > 0;
    EXPECT_EQ(first_unbalanced_tag(html), "") << "trial " << trial;
    EXPECT_THAT(html, Not(HasSubstr("\"nan"))) << "trial " << trial;
    EXPECT_EQ(html.find("cannot be read and left out") != std::string::npos, metrics.damaged > 0) << "trial " << trial;
  }
  EXPECT_GT(num_damaged, 20u);
}

TEST(LoadReportRun, AFolderWithoutMetricsIsAnErrorThatSaysWhatToName) {
  try {
    load_report_run("/absent/run");
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/absent/run: expected a run folder with metrics.jsonl"));
  }
}

TEST(LoadReportRun, ReadsMetricsAndConfigurationAndIsNamedAfterItsFolder) {
  const fs::path folder = fs::path(testing::TempDir()) / concat("report_run_", ::getpid());
  fs::create_directories(folder);
  FileLayer files;
  write_text(files, folder / "metrics.jsonl", sample_metrics());
  write_text(files, folder / "config.yaml", "seed: 3\n");
  const ReportRun run = load_report_run(folder.string() + "/");
  fs::remove_all(folder);
  EXPECT_EQ(run.name, folder.filename().string());
  EXPECT_EQ(run.config_yaml, "seed: 3\n");
  EXPECT_EQ(run.metrics.steps.size(), 10u);
}

TEST(ParseEvaluation, ReadsRatesWithTheirIntervals) {
  const Evaluation evaluation = parse_evaluation(
      R"({"checkpoint":"c","step":5,"normalizer":"basic/1","macro_cer":0.25,"macro_wer":0.5,"sets":[{"manifest":"m",
      "domain":"d","utterances":7,"hours":0.5,"cer":0.25,"cer_low":0.2,"cer_high":0.3,"wer":0.5,"wer_low":0.4,
      "wer_high":0.6,"substitutions":1,"deletions":2,"insertions":3,"reference_length":24,"in_training":true}]})",
      "e.json");
  EXPECT_EQ(evaluation.step, 5u);
  ASSERT_EQ(evaluation.sets.size(), 1u);
  EXPECT_EQ(evaluation.sets[0].scores.at(0).low, 0.2);
  EXPECT_EQ(evaluation.sets[0].scores.at(1).high, 0.6);
  EXPECT_TRUE(evaluation.sets[0].is_in_training);
}

TEST(ParseEvaluation, ErrorsNameFileSetAndField) {
  const auto error_of = [](const std::string& text) -> std::string {
    try {
      parse_evaluation(text, "e.json");
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of("{"), HasSubstr("e.json: expected JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("e.json: expected a JSON object; found []"));
  EXPECT_THAT(error_of(R"({"sets":[{"manifest":"m","cer":"x"}]})"),
              HasSubstr("e.json: sets[0]: cer: expected a number; found \"x\""));
  EXPECT_THAT(error_of(R"({"sets":[{}]})"), HasSubstr("e.json: sets[0]: manifest: expected a text; found nothing"));
}

TEST(EscapeHtml, KeepsUtf8AndReplacesWhatIsNot) {
  EXPECT_EQ(escape_html("радио 日本 🙂\n\t"), "радио 日本 🙂\n\t");
  EXPECT_EQ(escape_html("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");       // overlong
  EXPECT_EQ(escape_html("a\xE2\x82"), "a\xEF\xBF\xBD\xEF\xBF\xBD");     // cut
  EXPECT_EQ(escape_html("\xED\xA0\x80").substr(0, 3), "\xEF\xBF\xBD");  // a surrogate
}

}  // namespace
}  // namespace rehearse
