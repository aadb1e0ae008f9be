// What is in a checkpoint, for people: which one is meant, whether it is whole, and what it knows.
#pragma once

#include <cstdint>
#include <string>

#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {

// path: a checkpoint, a run folder or its checkpoints folder. step >= 0 asks for that one; otherwise a folder's best,
// or else its newest. DataError naming the steps that are there.
fs::path choose_checkpoint(const fs::path& path, int64_t step);

// Which one `path` stood for: "runs/a/checkpoints/step-00000160 (the best of runs/a; averaged weights)".
std::string describe_choice(const fs::path& path, const LoadedCheckpoint& chosen);

// Files with size and SHA-256 after all of them were read and compared. DataError on the first that differs.
std::string describe_verified(const fs::path& checkpoint);

// Step, progress, facts, front-end and parameters by block.
std::string describe_contents(const LoadedCheckpoint& checkpoint);

}  // namespace rehearse
