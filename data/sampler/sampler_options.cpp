#include "data/sampler/sampler_options.h"

#include <algorithm>

#include "trainer/base/error.h"
#include "trainer/base/text/words.h"

namespace rehearse {
namespace {

constexpr Range<double> kTargetRange{0.005, 0.9};

std::map<std::string, SamplerOptions::Domain> read_domains(ConfigNode domains, const std::string& target_key) {
  std::map<std::string, SamplerOptions::Domain> read;
  for (const std::string& name : domains.keys()) {
    SamplerOptions::Domain& domain = read[name];
    domain.where = domains.where(name);
    ConfigNode node = domains.child(name);
    if (node.has("share")) domain.share = node.required_number("share", {0.0, 1.0});
    if (node.has(target_key)) domain.target = node.required_number(target_key, kTargetRange);
    domain.is_replay = node.boolean("replay", false);
  }
  return read;
}

}  // namespace

SamplerOptions SamplerOptions::from(ConfigNode& node, const Sampler::Context& context) {
  SamplerOptions o;
  o.where = node.where();
  o.error_name = context.error_name;
  const std::string target_key = "target_" + o.error_name;
  o.target = node.number(target_key, o.target, kTargetRange);
  o.shares = node.choice("shares", o.shares, {"equal", "by_hours"});
  o.max_repeats = node.number("max_repeats", o.max_repeats, {0.0, 1e9});
  o.domains = read_domains(node.child("domains"), target_key);
  o.replay_share = node.number("replay_share", o.replay_share, {0.0, 1.0});
  o.replay_tilt = node.choice("replay_tilt", o.replay_tilt, {"hold", "uniform", "free"});
  o.lag_steps = static_cast<int>(node.integer("lag_steps", o.lag_steps, {1, 1000}));
  o.bins = static_cast<int>(node.integer("bins", o.bins, {2, 192}));
  o.unseen_bins = static_cast<int>(node.integer("unseen_bins", o.unseen_bins, {1, 32}));
  o.ema_new_weight = node.number("ema_new_weight", o.ema_new_weight, {0.01, 1.0});
  o.realised_window = node.number("realised_window", o.realised_window, {10.0, 1e7});
  o.integral_draws = node.number("integral_draws", o.integral_draws, {10.0, 1e7});
  o.min_breadth = node.number("min_breadth", o.min_breadth, {0.0, 1.0});
  o.probe_share = node.number("probe_share", o.probe_share, {0.0, 1.0});
  o.lambda_max = node.number("lambda_max", o.lambda_max, {0.0, 500.0});
  o.good_median = node.number("good_median", o.good_median, {0.0, 1.0});
  o.cut_min = node.number("cut_min", o.cut_min, {0.0, 1.0});
  o.cut_mads = node.number("cut_mads", o.cut_mads, {0.0, 1000.0});
  o.cut_max = node.number("cut_max", o.cut_max, {0.0, 1.0});
  if (o.cut_min > o.cut_max)
    node.fail("cut_min", concat("expected at most cut_max (", o.cut_max, "); found ", o.cut_min));
  o.strikes = static_cast<int>(node.integer("strikes", o.strikes, {1, 3}));
  o.quarantine_share = node.number("quarantine_share", o.quarantine_share, {0.0, 1.0});
  o.trim_max = node.number("trim_max", o.trim_max, {0.0, 0.9});
  return o;
}

double SamplerOptions::target_of(const std::string& domain) const {
  auto found = domains.find(domain);
  return found == domains.end() ? target : found->second.target.value_or(target);
}

bool SamplerOptions::is_replay(const std::string& domain) const {
  auto found = domains.find(domain);
  return found != domains.end() && found->second.is_replay;
}

void SamplerOptions::expect_known_domains(const std::vector<std::string>& names) const {
  for (const auto& [name, domain] : domains) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    throw ConfigError(domain.where, ": expected a domain of the training manifests; found \"", name, "\"",
                      did_you_mean(name, names));
  }
}

}  // namespace rehearse
