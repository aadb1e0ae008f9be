// Scores a checkpoint on files of examples and writes the figures; every rank of the world takes its part.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rehearse {

struct EvaluateRequest {
  std::string checkpoint;
  int64_t step = -1;  // of a run folder's checkpoints; negative: the best or newest
  std::vector<std::string> manifests;
  double batch_cost = 120;     // padded
  std::string device = "cpu";  // or "cuda"
  std::string json_path;       // "": none
  std::string answers_path;    // "": none
};

// Collective: every rank calls it; rank 0 prints and writes. Returns the code of bad data when more of a domain was
// refused than the checkpoint's data.max_rejected_share allows.
int evaluate(const EvaluateRequest& request);

}  // namespace rehearse
