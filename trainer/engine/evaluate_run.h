// Scores a checkpoint on manifests and writes the figures; every rank of the world takes its part.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rehearse {

struct EvaluateRequest {
  std::string checkpoint;
  int64_t step = -1;  // of a run folder's checkpoints; negative: the best or newest
  std::vector<std::string> manifests;
  double batch_seconds = 120;
  std::string json_path;        // "": none
  std::string hypotheses_path;  // "": none
};

// Collective: every rank calls it; rank 0 prints and writes.
int evaluate(const EvaluateRequest& request);

}  // namespace rehearse
