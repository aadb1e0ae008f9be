// What training and validation have in common; a validation CER says little about speech that was trained on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/speech/corpus.h"

namespace rehearse {

struct SetOverlap {
  // Validation utterances that share something with a training utterance, and the first few of them: the audio paths
  // of both.
  struct Kind {
    uint64_t count = 0;
    std::vector<std::pair<std::string, std::string>> first;
  };
  uint64_t utterances = 0;  // of validation
  Kind by_id;
  Kind by_audio;              // the same recording, or a copy of it, in whatever container
  Kind by_sentence;           // the same text by the same named speaker
  uint64_t not_compared = 0;  // utterances of lengths that both have, not listened to for want of reads

  bool is_found() const { return by_id.count + by_audio.count + by_sentence.count > 0; }
  // One sentence for log and doctor; and the counts for metrics.jsonl.
  std::string text() const;
  nlohmann::json to_json() const;
};

std::vector<const Corpus::Item*> items_of(const Corpus& corpus);

// Audio is decoded only where durations are equal, one second of each and of at most `most_reads` utterances; parts of
// one file are compared by their times. Files that cannot be read are not compared.
SetOverlap find_overlap(const std::vector<const Corpus::Item*>& train, const std::vector<const Corpus::Item*>& valid,
                        const AudioReaders& readers, size_t most_reads);

}  // namespace rehearse
