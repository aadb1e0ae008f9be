#include "trainer/report/report.h"

#include <fmt/format.h>

#include "trainer/base/error.h"
#include "trainer/report/report_curves.h"
#include "trainer/report/report_html.h"
#include "trainer/report/report_tables.h"

namespace rehearse {
namespace {

std::string section(const std::string& title, const std::string& content) {
  return content.empty() ? "" : fmt::format("<h2>{}</h2>\n{}", title, content);
}

std::string how_it_ran(const Metrics& metrics) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : " · ") + part; };
  if (!metrics.steps.empty()) add(fmt::format("{} updates", metrics.steps.back().step));
  if (metrics.starts.empty()) return text;
  const StartMetrics& start = metrics.starts.back();
  if (!start.device.empty()) add(start.device);
  if (start.ranks > 0) add(fmt::format("{} ranks × {} threads", start.ranks, start.threads));
  if (metrics.starts.size() > 1) add(fmt::format("resumed {} times", metrics.starts.size() - 1));
  if (!start.config_hash.empty()) add("configuration " + start.config_hash.substr(0, 12));
  return text;
}

std::string header(const ReportInput& input, const std::string& title) {
  std::string html = fmt::format("<h1>{}</h1>\n", escape_html(title));
  for (const ReportRun& run : input.runs) {
    const std::string prefix = input.runs.size() > 1 ? run.name + ": " : "";
    html += fmt::format("<p class=\"soft\">{}</p>\n", escape_html(prefix + how_it_ran(run.metrics)));
    if (run.metrics.has_unfinished_line)
      html += fmt::format(
          "<p class=\"warn\">{}The last line of metrics.jsonl is unfinished and left out: the run "
          "was interrupted while writing it, or is writing it now.</p>\n",
          escape_html(prefix));
    if (run.metrics.damaged > 0)
      html += fmt::format("<p class=\"warn\">{}{} line(s) cannot be read and left out; first {}</p>\n",
                          escape_html(prefix), run.metrics.damaged, escape_html(run.metrics.first_damage));
  }
  return html;
}

std::string notes(const std::vector<ReportRun>& runs) {
  std::string items;
  for (const ReportRun& run : runs)
    for (const NoteMetrics& note : run.metrics.notes)
      items += fmt::format("<li><span class=\"soft\">{}update {}:</span> {}</li>\n",
                           runs.size() > 1 ? escape_html(run.name) + ", " : "", note.step, escape_html(note.text));
  return items.empty() ? "" : "<section class=\"card\"><ul class=\"notes\">" + items + "</ul></section>\n";
}

std::string pictures(const ReportRun& run, bool is_best) {
  const std::string title = terms_of(run.metrics.task).error_title;
  std::string html;
  for (const ShownPicture& one : run.shown.pictures)
    if (one.is_best == is_best)
      html += html_picture(one.png, fmt::format("{}: {:.1f} % {}, {}", one.domain, 100 * one.error, title, one.name));
  return html.empty() ? "" : fmt::format("<div class=\"pictures\">{}</div>\n", html);
}

std::string details(const ReportRun& run, bool is_named) {
  const std::string suffix = is_named ? " of " + run.name : "";
  std::string html;
  const auto add = [&](const std::string& title, const std::string& text) {
    html += fmt::format("<details><summary>{}</summary><pre>{}</pre></details>\n", escape_html(title + suffix),
                        escape_html(text));
  };
  if (!run.config_yaml.empty()) add("Configuration", run.config_yaml);
  if (run.metrics.starts.empty() || run.metrics.starts.back().versions.empty()) return html;
  std::string versions;
  for (const auto& [name, version] : run.metrics.starts.back().versions) versions += name + " " + version + "\n";
  add("Versions", versions);
  return html;
}

void expect_one_task(const ReportInput& input) {
  const std::string& task = input.runs[0].metrics.task;
  const auto expect = [&](const std::string& other, const std::string& name) {
    if (other != task)
      throw ConfigError(name, ": expected task ", task, ", that of ", input.runs[0].name, "; found ", other,
                        "; make a report of each");
  };
  for (const ReportRun& run : input.runs) expect(run.metrics.task, run.name);
  for (const std::optional<Evaluation>* one : {&input.before, &input.after})
    if (*one) expect((*one)->task, (*one)->checkpoint);
}

}  // namespace

std::string render_report(const ReportInput& input) {
  REHEARSE_CHECK(!input.runs.empty(), "a report is about at least one run");
  expect_one_task(input);
  const bool is_comparison = input.runs.size() > 1;
  const std::string title = is_comparison ? fmt::format("{} runs compared", input.runs.size()) : input.runs[0].name;

  std::string body = header(input, title);
  if (is_comparison) {
    body += section("Summary", "<section class=\"card\">" + comparison_table(input.runs) + "</section>\n");
  } else {
    body += summary_tiles(input.runs[0]);
  }
  body += section(input.before && input.after ? "Before and after" : "Evaluation",
                  evaluation_tables(input.before, input.after));
  body += section("Training", training_curves(input.runs));
  body += section(fmt::format("Drawn {} by domain", terms_of(input.runs[0].metrics.task).error_title),
                  domain_curves(input.runs));
  if (!is_comparison) {
    const std::string table = validation_table(input.runs[0].metrics);
    if (!table.empty()) body += section("Last validation", "<section class=\"card\">" + table + "</section>\n");
    const std::string step = fmt::format(" of update {}", input.runs[0].shown.step);
    body += section("Worst answers" + step, pictures(input.runs[0], false));
    body += section("Best answers" + step, pictures(input.runs[0], true));
  }
  body += section("Where the time went", shares_of_time(input.runs));
  body += section("Notes", notes(input.runs));
  std::string about;
  for (const ReportRun& run : input.runs) about += details(run, is_comparison);
  body += section("How it was made", about);
  return html_page(title + " · rehearse", body);
}

}  // namespace rehearse
