// A run that leaves out one update after the other: when it has to end, and what it says then.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/base/files.h"

namespace rehearse {

// Equal on all ranks.
struct LeftOutRun {
  uint64_t step = 0;    // the last one, from 0
  uint64_t in_row = 0;  // updates left out up to it, because something was not finite
  int64_t at_most = 0;  // optimizer.max_left_out
  std::vector<std::string>
      found_by_rank;                   // what was not finite there before ranks added their gradients; empty: nothing
  std::optional<uint64_t> sound_step;  // of the last checkpoint whose latest update was applied
  fs::path checkpoints;
};
// "optimizer.max_left_out: expected …; found …; …"
std::string left_out_message(const LeftOutRun& run);
// Why nothing was saved: `tensor` of the state at run.step is not finite.
std::string not_finite_message(const LeftOutRun& run, const std::string& tensor);

// A run whose whole budget went by without one update.
std::string nothing_learned_message(uint64_t steps, uint64_t left_out);

}  // namespace rehearse
