// What a run's curriculum has set aside, read from a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "data/manifest.h"
#include "trainer/engine/checkpoint.h"

namespace rehearse {

// An utterance whose text looks wrong, or whose file could not be read. CERs as training saw them.
struct SetAside {
  Utterance utterance;
  bool is_bad_file = false;
  double cer_before = 0;  // its table value before the last strike
  double cer = 0;         // observed at the last strike
  double cut = 0;         // of its domain, then
  uint64_t step = 0;      // of the last strike
};

struct QuarantineList {
  std::vector<SetAside> utterances;  // the worst first
  size_t unknown = 0;                // quarantined, but no longer in the manifests
};

// `checkpoint` is loaded with its state; the utterances come from the manifests that its configuration names. DataError
// when one of those is absent; ConfigError for a run without a curriculum.
QuarantineList quarantine_of(const LoadedCheckpoint& checkpoint);

// One line an utterance, the first `most` of them, for a terminal of `width` columns.
std::string quarantine_table(const QuarantineList& list, size_t most, size_t width);

}  // namespace rehearse
