#include "data/sampler/error_table.h"

#include <algorithm>

namespace rehearse {

ErrorTable::ErrorTable(const std::vector<uint32_t>& domain_sizes, size_t bins_per_domain,
                       const std::vector<uint8_t>& bin_of, const std::vector<uint16_t>& error_of)
    : bins_per_domain_(bins_per_domain),
      domain_first_(1, 0),
      error_(error_of),
      visits_(error_of.size(), 0),
      last_step_(error_of.size(), 0),
      bin_(bin_of),
      flags_(error_of.size(), 0),
      slot_(error_of.size(), 0),
      lists_(domain_sizes.size() * bins_per_domain) {
  for (uint32_t size : domain_sizes) domain_first_.push_back(domain_first_.back() + size);
  REHEARSE_CHECK(domain_first_.back() == error_.size() && bin_.size() == error_.size(), "one entry per utterance");
  for (size_t d = 0; d < domain_sizes.size(); ++d)
    for (uint32_t i = domain_first_[d]; i < domain_first_[d + 1]; ++i)
      insert(lists_[d * bins_per_domain_ + bin_[i]], i);
}

void ErrorTable::insert(List& list, uint32_t i) {
  if ((list.count & kPageMask) == 0) {
    if (free_pages_.empty()) {
      free_pages_.push_back(static_cast<uint32_t>(members_.size() >> kPageBits));
      members_.resize(members_.size() + kPageMask + 1);
    }
    list.pages.push_back(free_pages_.back());
    free_pages_.pop_back();
  }
  slot_[i] = list.count++;
  list.error_sum += error_[i];
  members_[address(list, slot_[i])] = i;
}

void ErrorTable::remove(List& list, uint32_t i) {
  const uint32_t last = members_[address(list, list.count - 1)];
  members_[address(list, slot_[i])] = last;
  slot_[last] = slot_[i];
  list.error_sum -= error_[i];
  --list.count;
  if ((list.count & kPageMask) == 0) {
    free_pages_.push_back(list.pages.back());
    list.pages.pop_back();
  }
}

void ErrorTable::plan(uint32_t i, uint32_t step_plus_one) {
  if (visits_[i] < UINT16_MAX) ++visits_[i];
  last_step_[i] = step_plus_one;
}

void ErrorTable::set_flags(uint32_t i, bool is_seen, bool is_quarantined, int strikes) {
  flags_[i] = static_cast<uint8_t>((is_seen ? kSeen : 0) | (is_quarantined ? kQuarantined : 0) |
                                   std::min(strikes, 3) << kStrikesShift);
}

void ErrorTable::update(size_t domain, uint32_t i, uint16_t error, size_t bin) {
  List& from = lists_[domain * bins_per_domain_ + bin_[i]];
  if (bin == bin_[i]) {
    from.error_sum += error;
    from.error_sum -= error_[i];
    error_[i] = error;
    return;
  }
  remove(from, i);
  error_[i] = error;
  bin_[i] = static_cast<uint8_t>(bin);
  insert(lists_[domain * bins_per_domain_ + bin], i);
}

void ErrorTable::save(State& state, const std::string& prefix, const std::string& error_name) const {
  std::vector<uint32_t> order;
  order.reserve(error_.size());
  for (const List& list : lists_)
    for (uint32_t slot = 0; slot < list.count; ++slot) order.push_back(members_[address(list, slot)]);
  state.arrays[prefix + "." + error_name] = StateArray::of(error_);
  state.arrays[prefix + ".visits"] = StateArray::of(visits_);
  state.arrays[prefix + ".last_step"] = StateArray::of(last_step_);
  state.arrays[prefix + ".bin"] = StateArray::of(bin_);
  state.arrays[prefix + ".flags"] = StateArray::of(flags_);
  state.arrays[prefix + ".order"] = StateArray::of(order);
}

void ErrorTable::load(const State& state, const std::string& prefix, const std::string& error_name) {
  const auto error = state.array<uint16_t>(prefix + "." + error_name);
  const auto visits = state.array<uint16_t>(prefix + ".visits");
  const auto last_step = state.array<uint32_t>(prefix + ".last_step");
  const auto bin = state.array<uint8_t>(prefix + ".bin");
  const auto flags = state.array<uint8_t>(prefix + ".flags");
  const auto order = state.array<uint32_t>(prefix + ".order");
  const size_t n = error_.size();
  std::vector<bool> is_listed(n, false);
  bool is_sound = error.size() == n && visits.size() == n && last_step.size() == n && bin.size() == n &&
                  flags.size() == n && order.size() == n;
  for (size_t k = 0; is_sound && k < n; ++k) {
    is_sound = order[k] < n && !is_listed[order[k]] && bin[k] < bins_per_domain_;
    if (is_sound) is_listed[order[k]] = true;
  }
  if (!is_sound)
    throw DataError("checkpoint arrays ", prefix, ".*: expected ", n,
                    " entries each and every utterance in one bin; found ", error.size(),
                    " or others; the checkpoint is damaged");
  error_ = error;
  visits_ = visits;
  last_step_ = last_step;
  bin_ = bin;
  flags_ = flags;
  members_.clear();
  free_pages_.clear();
  lists_.assign(lists_.size(), List());
  for (uint32_t i : order) {
    const size_t domain =
        static_cast<size_t>(std::upper_bound(domain_first_.begin(), domain_first_.end(), i) - domain_first_.begin()) -
        1;
    insert(lists_[domain * bins_per_domain_ + bin_[i]], i);
  }
}

}  // namespace rehearse
