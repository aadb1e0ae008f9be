// Character and word error rates: sums of edits over sums of reference lengths, never means of rates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rehearse {

// Levenshtein alignment counts of one pair or a sum of pairs.
struct EditCounts {
  int64_t substitutions = 0;
  int64_t deletions = 0;
  int64_t insertions = 0;
  int64_t reference_length = 0;

  int64_t edits() const { return substitutions + deletions + insertions; }
  // Σ edits / Σ reference length; for an empty reference 0 without edits, else 1.
  double rate() const;
  EditCounts& operator+=(const EditCounts& other);
};

// Over Unicode code points; spaces count.
EditCounts character_edits(const std::string& reference, const std::string& hypothesis);
// Over runs between spaces.
EditCounts word_edits(const std::string& reference, const std::string& hypothesis);

}  // namespace rehearse
