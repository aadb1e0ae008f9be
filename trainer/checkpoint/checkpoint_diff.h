// In what two checkpoints differ, for people and scripts.
#pragma once

#include <string>
#include <vector>

#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {

// Values as text; "absent" where a side lacks the key.
struct KeyDifference {
  std::string key;
  std::string a;
  std::string b;
};
// Of two resolved configurations, by path ("model.blocks[1].channels").
std::vector<KeyDifference> config_differences(const std::string& yaml_a, const std::string& yaml_b);

struct CheckpointDifference {
  bool is_equal = false;  // all weights, optimizer state and arrays, bit for bit
  std::string text;       // a table of tensors, then what else differs
};
CheckpointDifference compare_checkpoints(const LoadedCheckpoint& a, const LoadedCheckpoint& b);

}  // namespace rehearse
