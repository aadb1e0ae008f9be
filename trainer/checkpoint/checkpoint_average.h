// The mean of several checkpoints of one model.
#pragma once

#include <vector>

#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {

// Newest first. DataError when the run folder, or its checkpoints folder, holds fewer than `count`.
std::vector<fs::path> newest_checkpoints(const fs::path& folder, size_t count);

// Writes the folder `out`: every parameter and buffer is the mean, summed in double in the order given; all else is
// that of the newest, without optimizer state, and state.json says what was averaged. Reads one checkpoint at a time.
// ConfigError when there are fewer than two or one is there twice, when the models, vocabularies, normalisers or
// front-ends differ, or when `out` exists.
fs::path average_checkpoints(const std::vector<fs::path>& checkpoints, const fs::path& out, FileLayer& files);

}  // namespace rehearse
