// The folder that holds a run's checkpoints: which are there, which is meant, and which go (CHECKPOINT.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/base/files.h"

namespace rehearse {

// folder/step-00001200
fs::path checkpoint_path(const fs::path& folder, uint64_t step);
// The step of a folder of that name; nothing for other names.
std::optional<uint64_t> step_of(const fs::path& checkpoint);
// A name that nobody uses yet, beside `target` and built from it: .step-00001200.old, .step-00001200.2.old …
fs::path free_name_beside(const fs::path& target, const std::string& prefix, const std::string& ending);

// The checkpoints of a run folder, or the folder itself when it holds them directly.
fs::path checkpoints_folder(const fs::path& run);
// Checkpoints in `folder` from newest to oldest; unfinished, set aside and foreign folders are not among them.
std::vector<fs::path> list_checkpoints(const fs::path& folder);

// What a run folder, or its checkpoints folder, stands for: training goes on from the newest, everything else takes the
// best where there is one. A checkpoint stands for itself. DataError when there is none.
enum class Which { kNewest, kBest };
fs::path find_checkpoint(const fs::path& path, Which which);

// Points folder/best at a checkpoint: a link, or a file with its name where the file system has no links.
void mark_best(const fs::path& checkpoint, FileLayer& files);

// What came after `step` belongs to a course that is not gone on with: those folders become aside-step-…, which no
// resume chooses; nothing is deleted. Returns their new paths.
std::vector<fs::path> set_aside_after(const fs::path& folder, uint64_t step, FileLayer& files);
// The folders that were set aside.
std::vector<fs::path> list_set_aside(const fs::path& folder);

struct Rotation {
  int64_t keep_last = 2;
  int64_t keep_every_steps = 0;            // 0: none
  std::optional<uint64_t> kept_step = {};  // the last good one of a run that leaves out its updates
};
// Of the steps up to `newest`, removes all but the last `keep_last`, the best, those divisible by keep_every_steps, and
// kept_step, and what is left of earlier removals. Returns what could not be removed and why: the next call tries
// again.
std::vector<std::string> rotate_checkpoints(const fs::path& folder, uint64_t newest, const Rotation& rotation,
                                            FileLayer& files);

// Removes temporary folders that a crash left among the checkpoints, and returns those that stay, with the reason.
// Nobody may be writing there.
std::vector<std::string> remove_leftovers(const fs::path& folder, FileLayer& files);

}  // namespace rehearse
