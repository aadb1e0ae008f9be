// Learning rates and freezing by name of a parameter.
#pragma once

#include "trainer/base/config/config.h"
#include "trainer/engine/update/arena.h"

namespace rehearse {

// Reads `optimizer.lr_scale` (name prefix: factor) and `optimizer.frozen` (name prefixes) into the arena's segments; a
// prefix ends at a dot ("blocks.1" is not "blocks.12"), and the longest one counts. Frozen parameters get no gradient.
// ConfigError when a prefix names nothing, or when nothing is left to train.
void apply_parameter_groups(ConfigNode optimizer, Arena& arena);

}  // namespace rehearse
