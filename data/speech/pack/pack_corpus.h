// From manifests to a packed corpus.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/speech/audio/audio_reader.h"
#include "data/speech/import/rejected_source.h"
#include "data/speech/pack/packed.h"

namespace rehearse {

struct PackSummary {
  size_t packed = 0;
  size_t already_there = 0;  // ids the folder held before
  size_t updated = 0;        // of these, with a corrected text or another field
  double seconds = 0;        // of audio, packed now
  uint64_t shard_bytes = 0;  // of all shards in the folder
  std::vector<RejectedSource> rejected;
};

// Packs every utterance of the manifests that the folder does not hold yet; running it again completes an interrupted
// pack. Of those it holds, the folder's manifest takes over what has changed beside the audio, such as the text.
// Unreadable audio, and audio much shorter than its manifest says, is left out and listed in folder/rejected.jsonl.
// progress(done, total) is called after each utterance.
PackSummary pack_corpus(const std::vector<std::string>& manifests, const fs::path& folder,
                        const PackWriter::Options& options, const AudioReaders& readers, FileLayer& files,
                        const std::function<void(size_t, size_t)>& progress = {});

}  // namespace rehearse
