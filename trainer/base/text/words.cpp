#include "trainer/base/text/words.h"

#include <algorithm>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j < row.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// One slip, and one more for every four letters. Among words of up to three letters one slip makes another word (gpu,
// cpu), unless they begin alike.
bool is_near(const std::string& a, const std::string& b, size_t distance) {
  const size_t longest = std::max(a.size(), b.size());
  return distance <= 1 + longest / 4 && (longest > 3 || a.substr(0, 1) == b.substr(0, 1));
}

}  // namespace

std::string joined(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  return list;
}

std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::string::npos;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance >= best_distance || !is_near(word, candidate, distance)) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string nearest = nearest_word(word, candidates);
  return nearest.empty() ? "" : concat("; did you mean \"", nearest, "\"?");
}

void expect_one_of(const std::string& where, const std::string& found, const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), found) != allowed.end()) return;
  throw ConfigError(where, ": expected one of ", joined(allowed), "; found \"", found, "\"",
                    did_you_mean(found, allowed));
}

}  // namespace rehearse
