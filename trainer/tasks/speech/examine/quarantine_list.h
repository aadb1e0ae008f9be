// What a run's sampler has set aside, or would have, read from a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "data/speech/manifest.h"
#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {

// An utterance whose text looks wrong, or whose file could not be read.
struct SetAside {
  Utterance utterance;
  std::string line;  // of its manifest
  bool is_bad_file = false;
  std::string reason;   // of a bad file: what reading it says now
  double cer = 0;       // its table value: what was observed of late
  double cut = 0;       // of its domain when it was set aside
  uint64_t step = 0;    // when that was, of the run that did it (fine-tuning takes the list along)
  uint64_t visits = 0;  // draws so far, probes included
};

// How much of a domain, or of one of its speakers, is set aside.
struct SetAsideShare {
  std::string domain;
  std::string speaker;  // empty: of the domain
  uint64_t utterances = 0;
  uint64_t wrong_texts = 0;
  uint64_t bad_files = 0;
  bool is_good = true;  // of a domain: its median CER is low enough to judge texts
};

struct QuarantineList {
  std::vector<SetAside> utterances;  // wrong texts first, the worst of them in front
  std::vector<SetAsideShare> domains;
  std::vector<SetAsideShare> speakers;  // of whom far more is set aside than of their domain
  uint64_t unknown = 0;                 // set aside, but not in the manifests
  double good_median = 0.20;            // curriculum.good_median and quarantine_share of the run
  double max_share = 0.25;
};

// `checkpoint` is loaded with its state. `manifests`: where the utterances are looked up; empty: those that the run was
// trained on. DataError when one is absent or none of the utterances is in them; ConfigError for a checkpoint whose
// sampler did not measure utterances.
QuarantineList quarantine_of(const LoadedCheckpoint& checkpoint, std::vector<std::string> manifests);

// Domains, speakers, then one line an utterance, the first `most` of them, for a terminal of `width` columns.
std::string quarantine_text(const QuarantineList& list, size_t most, size_t width);

// The utterances with wrong texts as manifest lines: those of the source with an absolute path and `quarantine`
// {cer, cut, step, visits}.
std::string quarantine_manifest(const QuarantineList& list);

}  // namespace rehearse
