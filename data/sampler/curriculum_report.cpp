// What the curriculum tells metrics.jsonl, the log and the report.
#include <cmath>
#include <cstdio>
#include <utility>

#include "data/sampler/curriculum_sampler.h"

namespace rehearse {
namespace {

std::string decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

}  // namespace

std::vector<std::string> CurriculumSampler::warnings(size_t d) const {
  const DomainController& controller = domains_[d].controller;
  const std::string name = "domain " + layout_.name(d) + ": ";
  std::vector<std::string> lines;
  if (controller.state() == "breadth" && controller.tilt().mean > controller.target() + 0.01)
    lines.push_back(concat(name, "expected draws at ", error_title_, " ", decimals(controller.target()), "; found ",
                           decimals(controller.tilt().mean), " at the least breadth; if this lasts, raise its target_",
                           options_.error_name));
  if (quarantine_.is_full(table_, d))
    lines.push_back(concat(name, "expected a few wrong texts; found ", std::lround(100 * options_.quarantine_share),
                           " % of it above the cut-off ", decimals(controller.cut()),
                           ": the domain is hard, not its labels; see rehearse quarantine"));
  for (std::string& line : forgetting_warnings(d)) lines.push_back(std::move(line));
  return lines;
}

std::vector<std::string> CurriculumSampler::forgetting_warnings(size_t d) const {
  const DomainController& controller = domains_[d].controller;
  const std::string name = "domain " + layout_.name(d) + ": ";
  if (controller.is_replay() && !controller.reference_error())
    return {concat(name,
                   "expected a replay domain to be known from an earlier run or from a measurement at the start;"
                   " found neither, so it is drawn without a ceiling and forgetting cannot be noticed; start"
                   " anew with --init")};
  if (!controller.is_forgotten()) return {};
  return {concat(name, "expected about its ", error_title_, " before the switch, ",
                 decimals(*controller.reference_error()), "; found ", decimals(controller.expected_error()),
                 ": it is being forgotten; raise replay_share")};
}

nlohmann::json CurriculumSampler::report_domain(size_t d) const {
  const Domain& domain = domains_[d];
  const DomainController& controller = domain.controller;
  const std::string& error = options_.error_name;
  uint32_t unseen = 0;
  for (size_t k = bins_.seen; k < bins_.drawable(); ++k) unseen += table_.count(d, k);
  nlohmann::json json = {{"name", layout_.name(d)},
                         {"share", shares_.share(d)},
                         {"is_share_capped", shares_.is_capped(d)},
                         {"expected_visits", shares_.expected_visits(d)},
                         {"state", controller.state()},
                         {"lambda", controller.tilt().lambda},
                         {"target", controller.target()},
                         {"goal", controller.goal()},
                         {"trim", controller.trim()},
                         {"breadth", controller.tilt().breadth},
                         {layout_.examples(), layout_.size(d)},
                         {"draws", domain.planned},
                         {layout_.cost_name(), domain.seconds},
                         {"drawn_" + error, domain.drawn.mean()},
                         {"drawn_" + error + "_without_probes", domain.drawn.mean_without_probes()},
                         {"drawn_window", domain.drawn.num_draws()},
                         {"table_" + error, controller.expected_error()},
                         {"quarantined", quarantine_.count(table_, d)},
                         {"bad_files", quarantine_.bad_files(table_, d)},
                         {"unseen", unseen},
                         {"median", controller.median()},
                         {"cut", controller.cut()},
                         {"is_good", controller.is_good()}};
  if (controller.reference_error()) json["reference_" + error] = *controller.reference_error();
  if (controller.lambda_ceiling()) json["lambda_ceiling"] = *controller.lambda_ceiling();
  return json;
}

nlohmann::json CurriculumSampler::report() const {
  nlohmann::json report = {
      {"type", "curriculum"}, {"domains", nlohmann::json::array()}, {"warnings", nlohmann::json::array()}};
  for (size_t d = 0; d < domains_.size(); ++d) {
    report["domains"].push_back(report_domain(d));
    for (const std::string& line : warnings(d)) report["warnings"].push_back(line);
  }
  return report;
}

}  // namespace rehearse
