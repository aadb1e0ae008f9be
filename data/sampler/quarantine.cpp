#include "data/sampler/quarantine.h"

#include <algorithm>
#include <cmath>

namespace rehearse {
uint32_t Quarantine::count(const ErrorTable& table, size_t domain) const {
  uint32_t count = 0;
  for (size_t q = 0; q < BinLayout::kQuarantineBins; ++q) count += table.count(domain, layout_.drawable() + q);
  return count;
}

bool Quarantine::is_full(const ErrorTable& table, size_t domain) const {
  return most(domain) > 0 && count(table, domain) >= most(domain);
}

// Below the cap, or by releasing the least bad one when the newcomer is worse.
bool Quarantine::make_room(ErrorTable& table, const Measurement& m) {
  if (count(table, m.domain) < most(m.domain)) return true;
  for (size_t q = layout_.drawable(); q < layout_.quarantine_of(m.table); ++q) {
    if (table.count(m.domain, q) == 0) continue;
    const uint32_t least = table.member(m.domain, q, 0);
    table.set_flags(least, true, false, options_.strikes - 1);
    table.update(m.domain, least, table.error(least), layout_.of(table.error(least)));
    records_.erase(least);
    return true;
  }
  return false;
}

void Quarantine::apply(ErrorTable& table, const Measurement& m) {
  const uint32_t i = m.utterance;
  const bool was_bad_file = table.bin(i) == layout_.bad_file();
  const bool is_above = m.error > std::lround(m.cut * ErrorTable::kMaxError);  // an error of 0.5 is not above 0.5
  int strikes = is_above ? table.strikes(i) + (m.is_good_domain ? 1 : 0) : 0;
  bool is_in = table.is_quarantined(i) && is_above && !was_bad_file;
  if (table.is_quarantined(i) && !is_in) records_.erase(i);
  if (!is_in && is_above && m.is_good_domain && strikes >= options_.strikes) {
    is_in = make_room(table, m);
    if (is_in) records_[i] = {table.error(i), m.error, m.step, m.cut, false};
  }
  table.set_flags(i, true, is_in, strikes);
  table.update(m.domain, i, m.table, is_in ? layout_.quarantine_of(m.table) : layout_.of(m.table));
}

void Quarantine::add_bad_file(ErrorTable& table, size_t domain, uint32_t utterance, uint64_t step) {
  if (table.bin(utterance) == layout_.bad_file()) return;
  records_[utterance] = {table.error(utterance), table.error(utterance), step, 0, true};
  table.set_flags(utterance, table.is_seen(utterance), true, 0);
  table.update(domain, utterance, table.error(utterance), layout_.bad_file());
}

void Quarantine::adopt(ErrorTable& table, size_t domain, uint32_t utterance, const Record& record) {
  records_[utterance] = record;
  table.set_flags(utterance, true, true, options_.strikes);
  table.update(domain, utterance, table.error(utterance), layout_.quarantine_of(table.error(utterance)));
}

void Quarantine::save(State& state, const std::string& prefix, const std::string& error_name) const {
  std::vector<uint32_t> utterance;
  std::vector<uint16_t> error_before, error;
  std::vector<uint64_t> step;
  std::vector<double> cut;
  std::vector<uint8_t> is_bad_file;
  for (const auto& [i, record] : records_) {
    utterance.push_back(i);
    error_before.push_back(record.error_before);
    error.push_back(record.error);
    step.push_back(record.step);
    cut.push_back(record.cut);
    is_bad_file.push_back(record.is_bad_file);
  }
  state.arrays[prefix + ".utterance"] = StateArray::of(utterance);
  state.arrays[prefix + "." + error_name + "_before"] = StateArray::of(error_before);
  state.arrays[prefix + "." + error_name] = StateArray::of(error);
  state.arrays[prefix + ".step"] = StateArray::of(step);
  state.arrays[prefix + ".cut"] = StateArray::of(cut);
  state.arrays[prefix + ".is_bad_file"] = StateArray::of(is_bad_file);
}

void Quarantine::load(const State& state, const std::string& prefix, const std::string& error_name) {
  const auto utterance = state.array<uint32_t>(prefix + ".utterance");
  const auto error_before = state.array<uint16_t>(prefix + "." + error_name + "_before");
  const auto error = state.array<uint16_t>(prefix + "." + error_name);
  const auto step = state.array<uint64_t>(prefix + ".step");
  const auto cut = state.array<double>(prefix + ".cut");
  const auto is_bad_file = state.array<uint8_t>(prefix + ".is_bad_file");
  const size_t n = utterance.size();
  if (error_before.size() != n || error.size() != n || step.size() != n || cut.size() != n || is_bad_file.size() != n)
    throw DataError("checkpoint arrays ", prefix, ".*: expected ", n, " entries each; found others; it is damaged");
  records_.clear();
  for (size_t k = 0; k < n; ++k)
    records_[utterance[k]] = {error_before[k], error[k], step[k], cut[k], is_bad_file[k] != 0};
}

}  // namespace rehearse
