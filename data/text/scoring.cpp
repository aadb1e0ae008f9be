#include "data/text/scoring.h"

#include <algorithm>

#include "data/text/utf8.h"

namespace rehearse {

namespace {

// Of the alignment that a backtrace from this cell of the matrix would find.
struct Cell {
  uint32_t cost = 0;
  uint32_t substitutions = 0;
};

// Among alignments of equal cost the backtrace prefers a match or substitution, then a deletion, then an insertion, so
// the split into kinds is a function of the pair. Each cell knows its own path's substitutions; deletions and
// insertions follow from the lengths: one row is enough, however long the texts.
template <class Sequence>
EditCounts align(const Sequence& reference, const Sequence& hypothesis) {
  size_t rows = reference.size(), columns = hypothesis.size();
  while (rows > 0 && columns > 0 && reference[rows - 1] == hypothesis[columns - 1]) --rows, --columns;  // all matches
  std::vector<Cell> row(columns + 1);
  for (size_t j = 0; j <= columns; ++j) row[j].cost = static_cast<uint32_t>(j);
  for (size_t i = 1; i <= rows; ++i) {
    Cell diagonal = row[0];
    row[0].cost = static_cast<uint32_t>(i);
    for (size_t j = 1; j <= columns; ++j) {
      const uint32_t differs = reference[i - 1] == hypothesis[j - 1] ? 0 : 1;
      const Cell above = row[j], left = row[j - 1];
      Cell best{diagonal.cost + differs, diagonal.substitutions + differs};
      if (above.cost + 1 < best.cost) best = {above.cost + 1, above.substitutions};
      if (left.cost + 1 < best.cost) best = {left.cost + 1, left.substitutions};
      diagonal = above;
      row[j] = best;
    }
  }
  EditCounts counts;
  counts.reference_length = static_cast<int64_t>(reference.size());
  counts.substitutions = row[columns].substitutions;
  const int64_t others = int64_t{row[columns].cost} - counts.substitutions;
  const int64_t surplus = static_cast<int64_t>(rows) - static_cast<int64_t>(columns);
  counts.deletions = (others + surplus) / 2;
  counts.insertions = (others - surplus) / 2;
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

}  // namespace rehearse
