// A micro-batch with its content: what every task's has in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/sampler/batches/batch_planner.h"

namespace rehearse {

// A task derives its own, with the content in the form that its forward pass takes. A failed example has its reason in
// `failures` and weight 0, and its row holds something harmless.
struct Batch {
  virtual ~Batch() = default;
  // "2 utterances, longest 3 s, 4 s of audio (6 s padded)": for errors about memory.
  virtual std::string size_text() const { return std::to_string(size()) + " examples"; }
  // Figures for the trace of a profile.
  struct Measure {
    const char* name;
    double value;
  };
  virtual std::vector<Measure> measures() const { return {}; }

  size_t size() const { return draws.size(); }

  uint64_t step = 0;
  int micro_batch = 0;                // index in StepPlan::micro_batches
  std::vector<Draw> draws;            // [B]
  std::vector<uint32_t> positions;    // [B]
  std::vector<uint64_t> ids;          // [B] stable ids
  std::vector<float> weights;         // [B] 1 or 0
  std::vector<std::string> failures;  // [B] empty or the reason
  double load_seconds = 0;            // time spent loading, all threads
};

}  // namespace rehearse
