// Where a run goes on: the checkpoint is chosen, checked and loaded by all ranks together (CHECKPOINT.md, Resuming).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "trainer/base/config/config.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/comm/communicator.h"

namespace rehearse {

struct ResumeRequest {
  std::string from;        // "auto" (this run's newest whole one, if any), a checkpoint, or a run folder (its newest)
  bool is_strict = false;  // refuse what would not be bit-exact
  fs::path run;            // this run's folder
  const Config& config;
  const nlohmann::json& facts;  // of this start
  Check check = Check::kChecksums;
  std::function<void(const LoadedCheckpoint&)> load;  // into the trainer; DataError where the content is damaged
};

struct Resumed {
  fs::path path;
  uint64_t step = 0;
};

// Collective. A damaged checkpoint is refused, said in `log`, and the one before it is tried, on all ranks alike. Later
// checkpoints of this run are set aside (rank 0). Nothing: "auto" found no checkpoint. ConfigError when the
// configuration has another trajectory, DataError when the training data differs or nothing whole is there.
std::optional<Resumed> resume(const ResumeRequest& request, Communicator& communicator, Log& log);

}  // namespace rehearse
