// How the draws of a run are divided among domains: wishes from the configuration, limits from max_repeats.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/sampler/sampler.h"
#include "data/sampler/sampler_options.h"
#include "data/sampler/weighted_pick.h"

namespace rehearse {

// Where each domain lies in the corpus (utterances are sorted by domain).
class DomainLayout {
 public:
  explicit DomainLayout(const Sampler::Context& context);

  size_t num_domains() const { return names_.size(); }
  uint32_t num_utterances() const { return first_.back(); }
  uint32_t first(size_t domain) const { return first_[domain]; }
  uint32_t size(size_t domain) const { return first_[domain + 1] - first_[domain]; }
  double seconds(size_t domain) const { return seconds_[domain]; }
  const std::string& name(size_t domain) const { return names_[domain]; }
  const std::vector<std::string>& names() const { return names_; }
  const std::string& examples() const { return examples_; }  // what they are
  const std::string& cost_name() const { return cost_name_; }
  size_t domain_of(uint32_t utterance) const;

 private:
  std::vector<std::string> names_;
  std::string examples_, cost_name_;
  std::vector<uint32_t> first_;  // num_domains + 1
  std::vector<double> seconds_;
};

// Result of dividing 1 among weights under caps.
struct FilledShares {
  std::vector<double> share;
  std::vector<bool> is_capped;
  bool is_overfull = false;  // all caps together do not reach 1: shares were scaled beyond them
};
// What a cap leaves over goes to the others by weight, repeatedly. Weights sum to 1; some weight is positive.
FilledShares fill_shares(const std::vector<double>& weights, const std::vector<double>& caps);

// Wished share per domain, sum 1. `share` numbers are parts of all draws; the others of the same group (replay domains
// have replay_share together, the rest has what is left) divide the remainder equally or by hours. Throws ConfigError.
std::vector<double> wished_shares(const SamplerOptions& options, const DomainLayout& layout);

// Shares in force for a run of `planned_draws` (0: unknown, no cap) and the pick by them.
class DomainShares {
 public:
  DomainShares(const SamplerOptions& options, const DomainLayout& layout, uint64_t planned_draws);

  // When the length of the run becomes known or changes.
  void set_planned_draws(uint64_t planned_draws);
  uint64_t planned_draws() const { return planned_draws_; }
  double share(size_t domain) const { return filled_.share[domain]; }
  bool is_capped(size_t domain) const { return filled_.is_capped[domain]; }
  double expected_visits(size_t domain) const;  // per utterance over the run; 0 when its length is unknown
  size_t pick(uint64_t random) const { return pick_.pick(random); }
  // One line per domain for the log, and a warning when max_repeats cannot hold.
  std::vector<std::string> notes() const;

 private:
  double max_repeats_;
  std::vector<double> wished_;
  std::vector<uint32_t> sizes_;
  std::vector<std::string> names_;
  std::string examples_;
  uint64_t planned_draws_ = 0;
  FilledShares filled_;
  WeightedPick pick_;
};

}  // namespace rehearse
