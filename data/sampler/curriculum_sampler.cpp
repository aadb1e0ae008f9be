#include "data/sampler/curriculum_sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/sampler/keyed_permutation.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

// Random numbers of one draw, by index under its key.
enum Purpose : uint64_t { kPickDomain, kIsProbe, kIsSuspect, kPickBin, kPickMember };

constexpr int kDuplicateTries = 4;

std::vector<uint32_t> sizes_of(const DomainLayout& layout) {
  std::vector<uint32_t> sizes;
  for (size_t d = 0; d < layout.num_domains(); ++d) sizes.push_back(layout.size(d));
  return sizes;
}

}  // namespace

CurriculumSampler::CurriculumSampler(const Options& options, const Context& context)
    : options_(options),
      layout_(context),
      shares_(options, layout_, context.planned_draws),
      bins_{static_cast<size_t>(options.bins), static_cast<size_t>(options.unseen_bins)},
      key_(RandomKey(context.seed).with("curriculum")),
      window_key_(key_),
      ids_(context.ids),
      cost_(context.cost),
      error_title_(context.error_title),
      table_(make_table(context, layout_, bins_)),
      quarantine_(bins_, sizes_of(layout_), {options.strikes, options.quarantine_share}) {
  options_.expect_known_domains(context.domains);
  if (ids_.empty()) {
    ids_.resize(layout_.num_utterances());
    std::iota(ids_.begin(), ids_.end(), uint64_t{0});
  }
  REHEARSE_CHECK(ids_.size() == layout_.num_utterances(), "every utterance has a stable id");
  domains_.reserve(layout_.num_domains());
  for (const std::string& name : layout_.names()) domains_.emplace_back(options_, name, bins_.drawable());
}

// Unseen utterances: by length quantile of their domain, shorter ones expected to be a little easier.
ErrorTable CurriculumSampler::make_table(const Context& context, const DomainLayout& layout, const BinLayout& bins) {
  std::vector<uint8_t> bin_of(layout.num_utterances());
  std::vector<uint16_t> error_of(layout.num_utterances());
  for (size_t d = 0; d < layout.num_domains(); ++d) {
    std::vector<uint32_t> order(layout.size(d));
    std::iota(order.begin(), order.end(), layout.first(d));
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return context.cost[a] < context.cost[b]; });
    for (size_t rank = 0; rank < order.size(); ++rank) {
      const size_t quantile = rank * bins.unseen / order.size();
      bin_of[order[rank]] = static_cast<uint8_t>(bins.seen + quantile);
      const double prior = 0.8 + 0.2 * static_cast<double>(quantile) / static_cast<double>(bins.unseen);
      error_of[order[rank]] = static_cast<uint16_t>(std::lround(prior * ErrorTable::kMaxError));
    }
  }
  return ErrorTable(sizes_of(layout), bins.total(), bin_of, error_of);
}

double CurriculumSampler::realised_mean(size_t domain, size_t bin) const {
  const uint32_t count = table_.count(domain, bin);
  const double prior = count == 0 ? 0
                                  : static_cast<double>(table_.error_sum(domain, bin)) /
                                        (static_cast<double>(count) * ErrorTable::kMaxError);
  return domains_[domain].realised.mean(bin, prior);
}

std::vector<TiltBin> CurriculumSampler::tilt_bins(size_t domain) const {
  std::vector<TiltBin> bins(bins_.drawable());
  for (size_t k = 0; k < bins.size(); ++k)
    if (const uint32_t count = table_.count(domain, k); count > 0)
      bins[k] = {static_cast<double>(count), realised_mean(domain, k)};
  return bins;
}

void CurriculumSampler::apply_before(uint64_t first_step) {
  while (!pending_.empty() && pending_.front().step + static_cast<uint64_t>(options_.lag_steps) <= first_step) {
    apply(pending_.front());
    pending_.pop_front();
  }
}

void CurriculumSampler::begin_window(uint64_t first_step) {
  apply_before(first_step);
  first_step_ = first_step;
  has_window_ = true;
  window_key_ = key_.with("window").with(first_step);
  WindowMark& mark = marks_.emplace_back();
  mark.first_step = first_step;
  for (size_t d = 0; d < domains_.size(); ++d) {
    mark.planned.push_back(domains_[d].planned);
    if (shares_.share(d) > 0) domains_[d].controller.solve(tilt_bins(d), bins_.seen);
  }
}

void CurriculumSampler::remember(uint64_t first_step) {
  apply_before(first_step);
  for (size_t d = 0; d < domains_.size(); ++d) domains_[d].controller.assess(tilt_bins(d));
}

void CurriculumSampler::count_visit(uint32_t utterance, uint64_t first_step) {
  table_.plan(utterance, static_cast<uint32_t>(first_step + 1));
}

bool CurriculumSampler::is_in_window(uint32_t utterance) const {
  return table_.last_step(utterance) == static_cast<uint32_t>(first_step_ + 1);
}

// The less visited of two uniform members; not one that the window already holds, if a few tries find another. The bin
// is never changed: its share stays what the tilt says.
uint32_t CurriculumSampler::draw_member(size_t domain, size_t bin, const RandomKey& key) const {
  const uint32_t count = table_.count(domain, bin);
  uint32_t chosen = 0;
  for (uint64_t attempt = 0; attempt <= kDuplicateTries; ++attempt) {
    const uint64_t index = kPickMember + 2 * attempt;
    const uint32_t one = table_.member(domain, bin, static_cast<uint32_t>(key.below(count, index)));
    const uint32_t two = table_.member(domain, bin, static_cast<uint32_t>(key.below(count, index + 1)));
    chosen = table_.visits(two) < table_.visits(one) ? two : one;
    if (!is_in_window(chosen)) break;
  }
  return chosen;
}

// The order is the same in every pass, so that no utterance waits longer than one. Unreadable files are tried again
// too.
uint32_t CurriculumSampler::draw_sweep(size_t domain) {
  const KeyedPermutation order(layout_.size(domain), key_.with("sweep").with(domain));
  uint32_t chosen = 0;
  for (int attempt = 0; attempt <= kDuplicateTries; ++attempt) {
    uint64_t& cursor = domains_[domain].sweep;
    chosen = layout_.first(domain) + static_cast<uint32_t>(order.at(cursor));
    cursor = (cursor + 1) % layout_.size(domain);
    if (!is_in_window(chosen)) break;
  }
  return chosen;
}

Draw CurriculumSampler::draw(uint64_t position) {
  const RandomKey key = window_key_.with(position);
  const size_t d = shares_.pick(key.bits(kPickDomain));
  Domain& domain = domains_[d];
  Draw draw;
  draw.is_probe = key.uniform(kIsProbe) < options_.probe_share;
  if (!draw.is_probe)
    draw.utterance = draw_member(d, domain.controller.pick_bin(key.bits(kPickBin)), key);
  else if (domain.controller.has_suspects() && key.uniform(kIsSuspect) < 0.5)
    draw.utterance = draw_member(d, domain.controller.pick_suspect_bin(key.bits(kPickBin)), key);
  else
    draw.utterance = draw_sweep(d);

  const uint32_t i = draw.utterance;
  draw.bin = static_cast<uint16_t>(table_.bin(i));
  draw.visit = table_.visits(i);
  draw.is_learned = !table_.is_quarantined(i) && !domain.controller.is_suspect_bin(draw.bin);
  table_.plan(i, static_cast<uint32_t>(first_step_ + 1));
  ++domain.planned;
  domain.seconds += cost_[i];
  return draw;
}

void CurriculumSampler::observe(uint64_t step, std::span<const Observation> observations, bool in_warmup) {
  REHEARSE_CHECK(pending_.empty() || pending_.back().step < step, "steps are observed once and in order");
  pending_.push_back({step, in_warmup, {observations.begin(), observations.end()}});
}

const CurriculumSampler::WindowMark& CurriculumSampler::mark_of(uint64_t step) {
  while (marks_.size() > 1 && marks_[1].first_step <= step) marks_.pop_front();
  return marks_.front();
}

void CurriculumSampler::apply(const PendingStep& pending) {
  std::vector<StepDeviation> deviations(domains_.size());
  for (const Observation& observation : pending.observations) apply(pending.step, observation, deviations);
  if (marks_.empty()) return;
  const WindowMark& mark = mark_of(pending.step);
  for (size_t d = 0; d < domains_.size(); ++d)
    if (deviations[d].draws > 0)
      domains_[d].controller.steer(deviations[d].draws, deviations[d].sum, domains_[d].planned - mark.planned[d],
                                   pending.in_warmup);
}

void CurriculumSampler::apply(uint64_t step, const Observation& observation, std::vector<StepDeviation>& deviations) {
  const uint32_t i = observation.draw.utterance;
  REHEARSE_CHECK(i < table_.num_utterances(), "observed utterances were drawn from this corpus");
  const size_t d = layout_.domain_of(i);
  if (observation.is_bad_file) {
    quarantine_.add_bad_file(table_, d, i, step);
    return;
  }
  if (observation.is_infeasible) return;
  REHEARSE_CHECK(std::isfinite(observation.error), "a task's error is a number in [0, 1]");
  const auto error =
      static_cast<uint16_t>(std::lround(std::clamp(observation.error, 0.0, 1.0) * ErrorTable::kMaxError));
  const double exact = static_cast<double>(error) / ErrorTable::kMaxError;
  Domain& domain = domains_[d];
  domain.realised.observe(observation.draw.bin, exact);
  domain.drawn.add(step, error, observation.draw.is_probe);
  ++deviations[d].draws;
  deviations[d].sum += domain.controller.target() - exact;

  const auto weight = static_cast<int64_t>(std::lround(options_.ema_new_weight * 65536));
  const int64_t old = table_.is_seen(i) ? table_.error(i) : error;
  const int64_t value = old + (((error - old) * weight + 32768) >> 16);
  quarantine_.apply(
      table_, {d, i, error, static_cast<uint16_t>(value), domain.controller.cut(), domain.controller.is_good(), step});
}

REHEARSE_REGISTER(Sampler, "curriculum", CurriculumSampler);

}  // namespace rehearse
