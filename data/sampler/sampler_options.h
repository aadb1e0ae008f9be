// The keys of the map `curriculum` that all samplers share, so that `type` can be switched alone. A sampler with keys
// of its own reads them from the same map, beside these, in its own Options.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/sampler/sampler.h"
#include "trainer/base/config/config.h"

namespace rehearse {

struct SamplerOptions {
  struct Domain {
    std::optional<double> share;   // of all draws
    std::optional<double> target;  // instead of the common one
    bool is_replay = false;        // an old domain that is only kept alive
    std::string where;             // "file:line: path", for messages
  };

  std::string error_name = "error";  // what the task calls its error in keys, as in Context
  double target = 0.10;              // key target_<error_name>
  std::string shares = "equal";      // or by_hours
  double max_repeats = 10;
  std::map<std::string, Domain> domains;
  double replay_share = 0.25;
  std::string replay_tilt = "hold";  // hold, uniform or free
  std::string where;                 // of the map

  int lag_steps = 8;
  int bins = 64;
  int unseen_bins = 8;
  double ema_new_weight = 0.5;
  double realised_window = 2000;
  double integral_draws = 3000;
  double min_breadth = 0.2;
  double probe_share = 0.05;
  double lambda_max = 60;

  double good_median = 0.20;  // a domain with at most this median error is good: its labels can be judged
  double cut_min = 0.5;       // cut-off = min(max(cut_min, median + cut_mads · MAD), cut_max)
  double cut_mads = 6;
  double cut_max = 0.9;
  int strikes = 2;                 // observed errors above the cut-off in a row that quarantine
  double quarantine_share = 0.25;  // of a domain, at most
  double trim_max = 0.08;          // of the integral trim, either way

  static SamplerOptions from(ConfigNode& node, const Sampler::Context& context = {});
  double target_of(const std::string& domain) const;
  bool is_replay(const std::string& domain) const;
  // ConfigError for a configured domain that the corpus does not have, naming the nearest one.
  void expect_known_domains(const std::vector<std::string>& names) const;
};

}  // namespace rehearse
