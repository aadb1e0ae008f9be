#include "data/text/scoring.h"

#include <algorithm>
#include <cmath>

#include "data/text/utf8.h"
#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {

namespace {

// Exact Levenshtein counts. Among alignments of equal cost the backtrace prefers a match or substitution, then a
// deletion, then an insertion, so the split into kinds is a function of the pair.
template <class Sequence>
EditCounts align(const Sequence& reference, const Sequence& hypothesis) {
  const size_t rows = reference.size() + 1, columns = hypothesis.size() + 1;
  std::vector<uint32_t> cost(rows * columns);
  for (size_t i = 0; i < rows; ++i) cost[i * columns] = static_cast<uint32_t>(i);
  for (size_t j = 0; j < columns; ++j) cost[j] = static_cast<uint32_t>(j);
  const auto substitution_cost = [&](size_t i, size_t j) -> uint32_t {
    return cost[(i - 1) * columns + j - 1] + (reference[i - 1] == hypothesis[j - 1] ? 0 : 1);
  };
  for (size_t i = 1; i < rows; ++i)
    for (size_t j = 1; j < columns; ++j)
      cost[i * columns + j] =
          std::min({substitution_cost(i, j), cost[(i - 1) * columns + j] + 1, cost[i * columns + j - 1] + 1});

  EditCounts counts;
  counts.reference_length = static_cast<int64_t>(reference.size());
  for (size_t i = reference.size(), j = hypothesis.size(); i > 0 || j > 0;) {
    const uint32_t here = cost[i * columns + j];
    if (i > 0 && j > 0 && here == substitution_cost(i, j)) {
      counts.substitutions += reference[i - 1] == hypothesis[j - 1] ? 0 : 1;
      --i, --j;
    } else if (i > 0 && here == cost[(i - 1) * columns + j] + 1) {
      ++counts.deletions;
      --i;
    } else {
      ++counts.insertions;
      --j;
    }
  }
  return counts;
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> result;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(' ', start), text.size());
    if (end > start) result.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return result;
}

}  // namespace

double EditCounts::rate() const {
  if (reference_length == 0) return edits() == 0 ? 0.0 : 1.0;
  return static_cast<double>(edits()) / static_cast<double>(reference_length);
}

EditCounts& EditCounts::operator+=(const EditCounts& other) {
  substitutions += other.substitutions;
  deletions += other.deletions;
  insertions += other.insertions;
  reference_length += other.reference_length;
  return *this;
}

EditCounts character_edits(const std::string& reference, const std::string& hypothesis) {
  return align(code_points(reference), code_points(hypothesis));
}

EditCounts word_edits(const std::string& reference, const std::string& hypothesis) {
  return align(words(reference), words(hypothesis));
}

Interval bootstrap_rate(const std::vector<EditCounts>& utterances, double confidence, int resamples, uint64_t seed) {
  REHEARSE_CHECK(confidence > 0 && confidence < 1 && resamples > 0, "callers pass a confidence inside (0, 1)");
  if (utterances.empty()) return {};
  const RandomKey key = RandomKey(seed).with("bootstrap");
  std::vector<double> rates(static_cast<size_t>(resamples));
  for (size_t r = 0; r < rates.size(); ++r) {
    const RandomKey resample_key = key.with(r);
    EditCounts sum;
    for (size_t i = 0; i < utterances.size(); ++i) sum += utterances[resample_key.below(utterances.size(), i)];
    rates[r] = sum.rate();
  }
  std::sort(rates.begin(), rates.end());
  // The percentile p lies at position p · (resamples − 1), between two order statistics.
  const auto percentile = [&](double p) {
    const double position = p * static_cast<double>(rates.size() - 1);
    const auto below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, rates.size() - 1);
    return rates[below] + (rates[above] - rates[below]) * (position - std::floor(position));
  };
  return {percentile((1 - confidence) / 2), percentile((1 + confidence) / 2)};
}

}  // namespace rehearse
