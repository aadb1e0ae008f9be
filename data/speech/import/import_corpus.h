// From a foreign corpus to manifests: every file looked at, broken ones listed, repetitions merged, ids unique.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/import/importer.h"

namespace rehearse {

struct ImportRequest {
  fs::path source;
  fs::path folder;  // of the manifests
  // Of every utterance; empty: what the source says.
  std::string domain, lang, license;
  std::optional<int> channel;
};

struct ImportSummary {
  size_t utterances = 0;
  double seconds = 0;
  std::map<std::string, size_t> subsets;  // utterances in each part of the source
  std::vector<RejectedSource> rejected;   // what is one utterance, or would be
  std::vector<RejectedSource> skipped;    // folders that cannot be read
  std::map<std::string, size_t> notes;    // what was read otherwise than it stands there, and how often
};

// File name of a subset's manifest: <subset>.jsonl, or <subset>_subset.jsonl where that name is one of our own.
std::string manifest_of_subset(const std::string& subset);

// Writes folder/manifest.jsonl, a manifest for each subset of the source, and folder/rejected.jsonl when something was
// left out. progress(done, total) is called after each file. DataError when nothing is usable.
ImportSummary import_corpus(const Importer& importer, const ImportRequest& request, const AudioReaders& readers,
                            const std::function<void(size_t, size_t)>& progress = {});

}  // namespace rehearse
