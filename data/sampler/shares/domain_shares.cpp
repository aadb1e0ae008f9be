#include "data/sampler/shares/domain_shares.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

// Domains that divide `budget` among themselves.
struct Group {
  std::vector<size_t> members;
  double budget = 0;
};

void divide(const Group& group, const SamplerOptions& options, const DomainLayout& layout,
            std::vector<double>& wished) {
  double given = 0;
  double implicit_weight = 0;
  std::vector<double> weight(layout.num_domains(), 0);
  for (size_t d : group.members) {
    auto found = options.domains.find(layout.name(d));
    if (found != options.domains.end() && found->second.share) {
      wished[d] = *found->second.share;
      given += wished[d];
    } else {
      weight[d] = options.shares == "by_hours" ? layout.seconds(d) : 1.0;
      implicit_weight += weight[d];
    }
  }
  if (implicit_weight == 0) {  // numbers alone: they are proportions
    if (given == 0 && group.budget > 0)
      throw ConfigError(options.where, ".domains: expected a share above 0 for some domain; found 0 for all of them");
    for (size_t d : group.members) wished[d] *= given > 0 ? group.budget / given : 0;
    return;
  }
  const double left = group.budget - given;
  if (left < 0 || (left == 0 && group.budget > 0))
    throw ConfigError(options.where, ".domains: expected shares that leave some of ", percent(group.budget),
                      " to the domains without one; found ", percent(given),
                      "; lower them or give every domain a share");
  for (size_t d : group.members)
    if (weight[d] > 0) wished[d] = left * weight[d] / implicit_weight;
}

}  // namespace

DomainLayout::DomainLayout(const Sampler::Context& context)
    : names_(context.domains), examples_(context.examples), cost_name_(context.cost_name) {
  REHEARSE_CHECK(context.domain.size() == context.cost.size(), "every utterance has a domain and a cost");
  REHEARSE_CHECK(std::is_sorted(context.domain.begin(), context.domain.end()), "the corpus is sorted by domain");
  if (context.domain.empty())
    throw DataError("sampler: expected at least one of the ", context.examples, "; found none");
  REHEARSE_CHECK(context.domain.back() < names_.size(), "every domain has a name");
  first_.assign(names_.size() + 1, 0);
  seconds_.assign(names_.size(), 0);
  for (size_t i = 0; i < context.domain.size(); ++i) {
    ++first_[context.domain[i] + 1];
    seconds_[context.domain[i]] += context.cost[i];
  }
  for (size_t d = 0; d < names_.size(); ++d) first_[d + 1] += first_[d];
}

size_t DomainLayout::domain_of(uint32_t utterance) const {
  return static_cast<size_t>(std::upper_bound(first_.begin(), first_.end(), utterance) - first_.begin()) - 1;
}

std::vector<double> wished_shares(const SamplerOptions& options, const DomainLayout& layout) {
  Group replay;
  Group others;
  for (size_t d = 0; d < layout.num_domains(); ++d)
    if (layout.size(d) > 0) (options.is_replay(layout.name(d)) ? replay : others).members.push_back(d);
  replay.budget = replay.members.empty() ? 0 : others.members.empty() ? 1 : options.replay_share;
  others.budget = 1 - replay.budget;
  std::vector<double> wished(layout.num_domains(), 0);
  if (!replay.members.empty()) divide(replay, options, layout, wished);
  if (!others.members.empty()) divide(others, options, layout, wished);
  return wished;
}

FilledShares fill_shares(const std::vector<double>& weights, const std::vector<double>& caps) {
  const size_t n = weights.size();
  FilledShares filled{std::vector<double>(n, 0), std::vector<bool>(n, false)};
  double left = 1;
  while (true) {
    double free_weight = 0;
    for (size_t d = 0; d < n; ++d)
      if (!filled.is_capped[d]) free_weight += weights[d];
    if (free_weight <= 0) break;
    for (size_t d = 0; d < n; ++d)
      if (!filled.is_capped[d]) filled.share[d] = left * weights[d] / free_weight;
    double taken = 0;
    for (size_t d = 0; d < n; ++d) {
      if (filled.is_capped[d] || filled.share[d] <= caps[d]) continue;
      filled.is_capped[d] = true;
      taken += filled.share[d] = caps[d];
    }
    if (taken == 0) return filled;
    left -= taken;
  }
  double sum = 0;
  for (double share : filled.share) sum += share;
  for (double& share : filled.share) share /= sum;
  filled.is_overfull = sum < 1 - 1e-9;
  return filled;
}

DomainShares::DomainShares(const SamplerOptions& options, const DomainLayout& layout, uint64_t planned_draws)
    : max_repeats_(options.max_repeats),
      wished_(wished_shares(options, layout)),
      names_(layout.names()),
      examples_(layout.examples()) {
  for (size_t d = 0; d < names_.size(); ++d) sizes_.push_back(layout.size(d));
  set_planned_draws(planned_draws);
}

void DomainShares::set_planned_draws(uint64_t planned_draws) {
  planned_draws_ = planned_draws;
  std::vector<double> caps(wished_.size(), std::numeric_limits<double>::infinity());
  if (planned_draws > 0 && max_repeats_ > 0)
    for (size_t d = 0; d < caps.size(); ++d) caps[d] = max_repeats_ * sizes_[d] / static_cast<double>(planned_draws);
  filled_ = fill_shares(wished_, caps);
  pick_.set_probabilities(filled_.share);
}

double DomainShares::expected_visits(size_t domain) const {
  return sizes_[domain] == 0 ? 0 : filled_.share[domain] * static_cast<double>(planned_draws_) / sizes_[domain];
}

std::vector<std::string> DomainShares::notes() const {
  std::vector<std::string> lines;
  for (size_t d = 0; d < names_.size(); ++d) {
    std::string line =
        concat("domain ", names_[d], ": ", sizes_[d], " ", examples_, ", share ", percent(filled_.share[d]));
    if (planned_draws_ > 0) line += concat(", expected visits of each ", expected_visits(d));
    if (filled_.is_capped[d])
      line += concat(" (wished ", percent(wished_[d]), "; max_repeats ", max_repeats_, " limits it)");
    lines.push_back(line);
  }
  double visits = 0;
  for (size_t d = 0; d < names_.size(); ++d) visits = std::max(visits, expected_visits(d));
  if (filled_.is_overfull)
    lines.push_back(concat("warning: curriculum.max_repeats: expected at least ", visits,
                           " for a run of this length; found ", max_repeats_,
                           ", which cannot hold; shorten the budget or raise it"));
  return lines;
}

}  // namespace rehearse
