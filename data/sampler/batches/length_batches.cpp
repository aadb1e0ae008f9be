#include "data/sampler/batches/length_batches.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

// Ends of the fewest contiguous batches whose padded seconds stay within `limit`; a single draw may exceed it.
std::vector<size_t> greedy_cuts(const std::vector<float>& sorted, double limit) {
  std::vector<size_t> ends;
  size_t begin = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i > begin && static_cast<double>(i + 1 - begin) * sorted[i] > limit) {
      ends.push_back(i);
      begin = i;
    }
  }
  ends.push_back(sorted.size());
  return ends;
}

// Halves the batch with most padded seconds among those that have two draws, until there are `num_batches`.
void split_to(std::vector<size_t>& ends, const std::vector<float>& sorted, size_t num_batches) {
  while (ends.size() < num_batches) {
    size_t widest = ends.size();
    double most = -1;
    for (size_t b = 0; b < ends.size(); ++b) {
      const size_t count = ends[b] - (b == 0 ? 0 : ends[b - 1]);
      const double padded = static_cast<double>(count) * sorted[ends[b] - 1];
      if (count >= 2 && padded > most) {
        most = padded;
        widest = b;
      }
    }
    REHEARSE_CHECK(widest < ends.size(), "there are at least as many draws as micro-batches");
    const size_t begin = widest == 0 ? 0 : ends[widest - 1];
    ends.insert(ends.begin() + static_cast<ptrdiff_t>(widest), begin + (ends[widest] - begin) / 2);
  }
}

void shuffle(std::vector<size_t>& order, const RandomKey& key) {
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[key.below(i, i)]);
}

// Orders `held` so that its halves have about equal padded seconds, and their halves too: the ranks of a world of 2 or
// 4 then end a step at about the same time. Each half takes the largest that is left while it has the smaller sum.
void even_out(std::span<size_t> held, const std::vector<double>& padded) {
  if (held.size() < 2 || held.size() % 2 != 0) return;
  const size_t half = held.size() / 2;
  std::vector<size_t> largest_first(held.begin(), held.end());
  std::stable_sort(largest_first.begin(), largest_first.end(),
                   [&](size_t a, size_t b) { return padded[a] > padded[b]; });
  double total[2] = {0, 0};
  size_t count[2] = {0, 0};
  for (const size_t batch : largest_first) {
    const size_t side = count[0] == half || (count[1] < half && total[1] < total[0]) ? 1 : 0;
    held[side * half + count[side]++] = batch;
    total[side] += padded[batch];
  }
  even_out(held.first(half), padded);
  even_out(held.last(half), padded);
}

}  // namespace

double padded_seconds(const MicroBatch& batch, const std::vector<float>& duration_s) {
  float longest = 0;
  for (const Draw& draw : batch.draws) longest = std::max(longest, duration_s[draw.utterance]);
  return static_cast<double>(longest) * static_cast<double>(batch.draws.size());
}

void LengthBatches::add(const Draw& draw) {
  drawn_seconds_ += duration_s_[draw.utterance];
  draws_.push_back(draw);
}

std::vector<size_t> LengthBatches::cuts(std::vector<float>& sorted) const {
  std::sort(sorted.begin(), sorted.end());
  double low = 0;
  double high = static_cast<double>(sorted.size()) * sorted.back();
  for (int i = 0; i < 50 && high - low > 1e-6 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (greedy_cuts(sorted, middle).size() <= num_batches_ ? high : low) = middle;
  }
  std::vector<size_t> ends = greedy_cuts(sorted, high);
  split_to(ends, sorted, num_batches_);
  return ends;
}

double LengthBatches::padded_total() const {
  std::vector<float> sorted;
  for (const Draw& draw : draws_) sorted.push_back(duration_s_[draw.utterance]);
  double total = 0;
  size_t begin = 0;
  for (size_t end : cuts(sorted)) {
    total += static_cast<double>(end - begin) * sorted[end - 1];
    begin = end;
  }
  return total;
}

size_t LengthBatches::num_wanted() const {
  if (draws_.size() < num_batches_) return num_batches_ - draws_.size();
  // Padding only adds: below nine tenths of the goal the cut need not be computed.
  const double mean = drawn_seconds_ / static_cast<double>(draws_.size());
  const double have = drawn_seconds_ < 0.9 * seconds_ ? drawn_seconds_ : padded_total();
  if (have >= seconds_) return 0;
  // Half of what is missing, so that the padding of the rest does not overshoot.
  return std::max<size_t>(1, static_cast<size_t>(0.5 * (seconds_ - have) / std::max(mean, 1e-3)));
}

std::vector<MicroBatch> LengthBatches::take() {
  std::vector<size_t> order(draws_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return duration_s_[draws_[a].utterance] < duration_s_[draws_[b].utterance];
  });
  std::vector<float> sorted;
  for (size_t i : order) sorted.push_back(duration_s_[draws_[i].utterance]);
  std::vector<MicroBatch> batches;
  size_t begin = 0;
  for (size_t end : cuts(sorted)) {
    MicroBatch& batch = batches.emplace_back();
    for (; begin < end; ++begin) batch.draws.push_back(draws_[order[begin]]);
  }
  return batches;
}

std::vector<std::vector<MicroBatch>> deal_to_steps(std::vector<MicroBatch> batches,
                                                   const std::vector<float>& duration_s, size_t num_steps,
                                                   const RandomKey& key) {
  REHEARSE_CHECK(batches.size() % num_steps == 0, "every step gets the same number of micro-batches");
  const size_t per_step = batches.size() / num_steps;
  std::vector<double> padded(batches.size());
  for (size_t b = 0; b < batches.size(); ++b) padded[b] = padded_seconds(batches[b], duration_s);

  std::vector<std::vector<size_t>> held(num_steps);  // batch of each stratum
  std::vector<double> total(num_steps, 0);
  for (size_t stratum = 0; stratum < per_step; ++stratum) {
    std::vector<size_t> order(num_steps);
    std::iota(order.begin(), order.end(), stratum * num_steps);
    shuffle(order, key.with("deal").with(stratum));
    for (size_t s = 0; s < num_steps; ++s) {
      held[s].push_back(order[s]);
      total[s] += padded[order[s]];
    }
  }
  // Fullest and emptiest step exchange the pair of one stratum that evens them out best.
  for (size_t round = 0; round < 4 * num_steps; ++round) {
    const auto [low, high] = std::minmax_element(total.begin(), total.end());
    const auto emptiest = static_cast<size_t>(low - total.begin());
    const auto fullest = static_cast<size_t>(high - total.begin());
    const double gap = total[fullest] - total[emptiest];
    double best = 0;
    size_t at = per_step;
    for (size_t stratum = 0; stratum < per_step; ++stratum) {
      const double moved = padded[held[fullest][stratum]] - padded[held[emptiest][stratum]];
      const double gain = gap - std::abs(gap - 2 * moved);
      if (gain > best + 1e-9) {
        best = gain;
        at = stratum;
      }
    }
    if (at == per_step) break;
    const double moved = padded[held[fullest][at]] - padded[held[emptiest][at]];
    std::swap(held[fullest][at], held[emptiest][at]);
    total[fullest] -= moved;
    total[emptiest] += moved;
  }
  std::vector<std::vector<MicroBatch>> steps(num_steps);
  for (size_t s = 0; s < num_steps; ++s) {
    shuffle(held[s], key.with("order").with(s));
    even_out(held[s], padded);
    for (size_t b : held[s]) steps[s].push_back(std::move(batches[b]));
  }
  return steps;
}

}  // namespace rehearse
