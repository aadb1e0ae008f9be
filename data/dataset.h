// What engine and sampler see of a task's examples: numbers and names, never their content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rehearse {

// Why a line of the training data is no example: listed by doctor and in the run's log.
struct Rejection {
  std::string name;  // a path, a line
  std::string domain;
  std::string reason;  // "too long", "unreadable: …"; what stands before the colon is its kind
};

// Examples sorted by domain, then by stable id; the index is the example's number everywhere (`Draw::utterance`).
// Immutable once built, so readable from every thread.
struct Dataset {
  std::vector<uint64_t> ids;     // stable: an edit around an example does not change it
  std::vector<uint32_t> domain;  // ascending, index into domains
  std::vector<float> cost;       // padded in a batch: seconds of sound, pictures; the unit of `batch.seconds`
  std::vector<std::string> domains;
  std::vector<Rejection> rejections;
  double total_cost = 0;
  std::vector<double> costs;                     // as exactly as they are known; empty: as in `cost`
  std::function<std::string(uint32_t)> name_of;  // of an example, for messages
  std::function<std::string()> hash;             // of ids and contents; recorded in checkpoints

  size_t size() const { return ids.size(); }
  double exact_cost(uint32_t example) const {
    return costs.empty() ? static_cast<double>(cost[example]) : costs[example];
  }
};

// "#" and 16 hexadecimal digits: an `id` of this form is the stable id itself, not hashed again.
std::string stable_id_text(uint64_t id);

}  // namespace rehearse
