// Checkpoints of the curriculum, and what a run on another corpus can take from them.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "data/sampler/curriculum_sampler.h"
#include "data/sampler/keyed_permutation.h"
#include "data/sampler/saved_state.h"

namespace rehearse {
namespace {

std::string domain_prefix(size_t domain) {
  return "sampler.realised." + std::to_string(domain);
}

constexpr const char* kMemory = "memory";
// Utterances of a replay domain that are scored at the start when nothing is known of it.
constexpr size_t kMeasured = 256;

const nlohmann::json& header(const State& state) {
  const auto found = state.values.find("sampler");
  if (found == state.values.end() || found->value("type", "") != "curriculum")
    throw DataError(
        "checkpoint: sampler: expected the state of a curriculum; found another or none; "
        "curriculum.type must be that of the saved run");
  return *found;
}

// What is known of utterances: a curriculum's own values, or the memory of a sampler that draws otherwise.
const nlohmann::json& known_values(const State& state) {
  const auto found = state.values.find("sampler");
  return found != state.values.end() && found->contains(kMemory) ? found->at(kMemory) : header(state);
}

}  // namespace

nlohmann::json CurriculumSampler::pending_to_json() const {
  nlohmann::json steps = nlohmann::json::array();
  for (const PendingStep& pending : pending_) {
    nlohmann::json rows = nlohmann::json::array();
    for (const Observation& o : pending.observations)
      rows.push_back({o.position, o.draw.utterance, o.draw.visit, o.draw.bin, o.draw.is_probe, o.draw.is_learned,
                      o.error, o.is_bad_file, o.is_infeasible});
    steps.push_back({{"step", pending.step}, {"in_warmup", pending.in_warmup}, {"observations", rows}});
  }
  return steps;
}

void CurriculumSampler::pending_from_json(const nlohmann::json& json) {
  pending_.clear();
  for (const auto& item : json) {
    PendingStep& pending = pending_.emplace_back();
    pending.step = item.at("step");
    pending.in_warmup = item.at("in_warmup");
    for (const auto& row : item.at("observations"))
      pending.observations.push_back({row.at(0),
                                      {row.at(1), row.at(2), row.at(3), row.at(4), row.at(5)},
                                      row.at(6),
                                      row.at(7),
                                      row.size() > 8 && row.at(8).get<bool>()});
  }
}

void CurriculumSampler::save(State& state) const {
  nlohmann::json values = {{"type", "curriculum"},
                           {"domain_names", layout_.names()},
                           {"bins", bins_.seen},
                           {"unseen_bins", bins_.unseen},
                           {"has_window", has_window_},
                           {"first_step", first_step_},
                           {"planned_draws", shares_.planned_draws()},
                           {"pending", pending_to_json()},
                           {"domains", nlohmann::json::array()},
                           {"marks", nlohmann::json::array()}};
  for (size_t d = 0; d < domains_.size(); ++d) {
    const Domain& domain = domains_[d];
    values["domains"].push_back({{"controller", domain.controller.to_json()},
                                 {"drawn", domain.drawn.to_json()},
                                 {"planned", domain.planned},
                                 {"sweep", domain.sweep},
                                 {"seconds", domain.seconds}});
    domain.realised.save(state, domain_prefix(d), options_.error_name);
  }
  for (const WindowMark& mark : marks_)
    values["marks"].push_back({{"first_step", mark.first_step}, {"planned", mark.planned}});
  state.values["sampler"] = std::move(values);
  state.arrays["sampler.ids"] = StateArray::of(ids_);
  table_.save(state, "sampler.table", options_.error_name);
  quarantine_.save(state, "sampler.quarantine", options_.error_name);
}

void CurriculumSampler::load(const State& state) {
  read_saved("sampler", [&] { load_values(state, header(state)); });
}

void CurriculumSampler::load_memory(const State& state) {
  read_saved("sampler", [&] { load_values(state, state.values.at("sampler").at(kMemory)); });
}

nlohmann::json CurriculumSampler::take_memory(State& state) {
  return {{kMemory, std::exchange(state.values["sampler"], nullptr)}};
}

void CurriculumSampler::load_values(const State& state, const nlohmann::json& values) {
  const auto ids = state.array<uint64_t>("sampler.ids");
  if (ids != ids_ || values.at("domain_names") != layout_.names())
    throw DataError("checkpoint: sampler: expected the ", ids_.size(), " utterances of this corpus; found ", ids.size(),
                    ", or others; resume with the manifests of the saved run, or start a new run from its model");
  if (values.at("bins") != bins_.seen || values.at("unseen_bins") != bins_.unseen)
    throw DataError("checkpoint: sampler: expected curriculum.bins ", bins_.seen, " and unseen_bins ", bins_.unseen,
                    "; found ", values.at("bins").dump(), " and ", values.at("unseen_bins").dump(),
                    "; resume with those of the saved run");
  table_.load(state, "sampler.table", options_.error_name);
  quarantine_.load(state, "sampler.quarantine", options_.error_name);
  if (!quarantine_.records().empty() && quarantine_.records().rbegin()->first >= layout_.num_utterances())
    throw DataError("checkpoint array sampler.quarantine.utterance: expected numbers below ", layout_.num_utterances(),
                    "; found ", quarantine_.records().rbegin()->first, "; it is damaged");
  shares_.set_planned_draws(values.at("planned_draws"));
  pending_from_json(values.at("pending"));
  marks_.clear();
  for (const auto& mark : values.at("marks")) marks_.push_back({mark.at("first_step"), mark.at("planned")});
  has_window_ = values.at("has_window");
  first_step_ = values.at("first_step");
  window_key_ = key_.with("window").with(first_step_);
  for (size_t d = 0; d < domains_.size(); ++d) {
    const nlohmann::json& saved = values.at("domains").at(d);
    Domain& domain = domains_[d];
    domain.controller.from_json(saved.at("controller"));
    domain.drawn = DrawnError::from_json(saved.at("drawn"));
    domain.planned = saved.at("planned");
    domain.sweep = saved.at("sweep");
    domain.seconds = saved.at("seconds");
    domain.realised.load(state, domain_prefix(d), options_.error_name);
    if (has_window_ && shares_.share(d) > 0) domain.controller.restore_picks(tilt_bins(d), bins_.seen);
  }
}

void CurriculumSampler::import_table(const State& old_state, const std::vector<uint64_t>& old_ids,
                                     const std::vector<uint64_t>& new_ids) {
  read_saved("sampler", [&] { import_values(old_state, old_ids, new_ids); });
}

void CurriculumSampler::import_values(const State& old_state, const std::vector<uint64_t>& old_ids,
                                      const std::vector<uint64_t>& new_ids) {
  REHEARSE_CHECK(new_ids == ids_, "the ids are those of this sampler's corpus");
  const nlohmann::json& values = known_values(old_state);
  const auto error = old_state.array<uint16_t>("sampler.table." + options_.error_name);
  const auto visits = old_state.array<uint16_t>("sampler.table.visits");
  const auto flags = old_state.array<uint8_t>("sampler.table.flags");
  if (error.size() != old_ids.size() || visits.size() != old_ids.size() || flags.size() != old_ids.size())
    throw DataError("checkpoint: sampler: expected one table entry for each of ", old_ids.size(), " ids; found ",
                    error.size(), "; the ids are those of another run");
  Quarantine old_quarantine(bins_, {}, {});
  old_quarantine.load(old_state, "sampler.quarantine", options_.error_name);

  std::vector<std::pair<uint64_t, uint32_t>> place(old_ids.size());
  for (uint32_t k = 0; k < place.size(); ++k) place[k] = {old_ids[k], k};
  std::sort(place.begin(), place.end());
  for (uint32_t i = 0; i < table_.num_utterances(); ++i) {
    const auto found = std::lower_bound(place.begin(), place.end(), std::pair<uint64_t, uint32_t>{new_ids[i], 0});
    if (found == place.end() || found->first != new_ids[i]) continue;
    const uint32_t k = found->second;
    table_.set_visits(i, visits[k]);
    if ((flags[k] & ErrorTable::kSeen) == 0) continue;
    const size_t domain = layout_.domain_of(i);
    table_.set_flags(i, true, false, flags[k] >> ErrorTable::kStrikesShift & 3);
    table_.update(domain, i, error[k], bins_.of(error[k]));
    const auto record = old_quarantine.records().find(k);
    if (record != old_quarantine.records().end() && !record->second.is_bad_file)
      quarantine_.adopt(table_, domain, i, record->second);
  }
  const auto old_names = values.at("domain_names").get<std::vector<std::string>>();
  for (size_t d = 0; d < domains_.size(); ++d) {
    const auto name = std::find(old_names.begin(), old_names.end(), layout_.name(d));
    if (name != old_names.end()) adopt_domain(d, old_state, static_cast<size_t>(name - old_names.begin()));
  }
}

void CurriculumSampler::adopt_domain(size_t d, const State& old_state, size_t old_domain) {
  const nlohmann::json& values = known_values(old_state);
  // Realised means belong to bins; with other bins the table alone says what to expect.
  if (values.at("bins") == bins_.seen && values.at("unseen_bins") == bins_.unseen)
    domains_[d].realised.load(old_state, domain_prefix(old_domain), options_.error_name);
  DomainController& controller = domains_[d].controller;
  const std::vector<TiltBin> seen = seen_bins(d);
  if (!controller.is_replay() || seen.empty()) return;
  const bool was_tilted = old_state.values.at("sampler").at("type") == "curriculum";
  const double lambda = was_tilted ? values.at("domains").at(old_domain).at("controller").at("lambda").get<double>()
                                   : controller.lambda_for_target(seen, bins_.seen);
  controller.mark_switch(lambda, table_mean(d));
}

// Empty when nothing of the domain is known.
std::vector<TiltBin> CurriculumSampler::seen_bins(size_t domain) const {
  std::vector<TiltBin> bins = tilt_bins(domain);
  double count = 0;
  for (size_t k = 0; k < bins.size(); ++k) {
    if (k >= bins_.seen) bins[k] = {};
    count += bins[k].count;
  }
  return count > 0 ? bins : std::vector<TiltBin>();
}

double CurriculumSampler::table_mean(size_t domain) const {
  double sum = 0, count = 0;
  for (const TiltBin& bin : tilt_bins(domain)) {
    sum += bin.count * bin.mean;
    count += bin.count;
  }
  return count > 0 ? sum / count : 1;
}

std::vector<uint32_t> CurriculumSampler::unmeasured() const {
  std::vector<uint32_t> wanted;
  for (size_t d = 0; d < domains_.size(); ++d) {
    const DomainController& controller = domains_[d].controller;
    if (!controller.is_replay() || controller.reference_error()) continue;
    const KeyedPermutation order(layout_.size(d), key_.with("measure").with(d));
    for (uint64_t i = 0; i < std::min<uint64_t>(kMeasured, layout_.size(d)); ++i)
      wanted.push_back(layout_.first(d) + static_cast<uint32_t>(order.at(i)));
  }
  std::sort(wanted.begin(), wanted.end());
  return wanted;
}

std::vector<std::string> CurriculumSampler::measure(std::span<const Measured> measured) {
  std::vector<std::vector<Measured>> by_domain(domains_.size());
  for (const Measured& one : measured) by_domain[layout_.domain_of(one.utterance)].push_back(one);
  std::vector<std::string> lines;
  for (size_t d = 0; d < domains_.size(); ++d) {
    const std::vector<Measured>& own = by_domain[d];
    if (own.empty()) continue;
    take_measured(d, own);
    DomainController& controller = domains_[d].controller;
    const double lambda = controller.lambda_for_target(seen_bins(d), bins_.seen), mean = table_mean(d);
    controller.mark_switch(lambda, mean);
    lines.push_back(concat(
        "domain ", layout_.name(d), ": replay without an earlier run's measurements; ", own.size(), " of its ",
        layout_.examples(), " scored now: ", error_title_, " ", std::lround(1000 * mean) / 10.0,
        " %, kept as the reference for forgetting; its tilt may not rise above λ ", std::lround(100 * lambda) / 100.0));
  }
  return lines;
}

// The others of a length class are expected to be like those that were measured.
void CurriculumSampler::take_measured(size_t d, std::span<const Measured> measured) {
  std::vector<double> sum(bins_.total(), 0), count(bins_.total(), 0);
  for (const Measured& one : measured) {
    const double error = std::clamp(one.error, 0.0, 1.0);
    const auto value = static_cast<uint16_t>(std::lround(error * ErrorTable::kMaxError));
    sum[table_.bin(one.utterance)] += error;
    count[table_.bin(one.utterance)] += 1;
    table_.set_flags(one.utterance, true, false, 0);
    table_.update(d, one.utterance, value, bins_.of(value));
  }
  for (uint32_t i = layout_.first(d); i < layout_.first(d) + layout_.size(d); ++i) {
    const size_t bin = table_.bin(i);
    if (table_.is_seen(i) || count[bin] == 0) continue;
    table_.update(d, i, static_cast<uint16_t>(std::lround(sum[bin] / count[bin] * ErrorTable::kMaxError)), bin);
  }
}

}  // namespace rehearse
