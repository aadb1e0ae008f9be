// The training set as the trainer sees it: manifests read, texts normalised and tokenised, unusable utterances left
// out.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/speech/manifest.h"
#include "data/text/normalizer.h"
#include "data/text/text_losses.h"
#include "data/text/tokenizer.h"

namespace rehearse {

class AudioReaders;

// Frames that a text needs and those that there are for a duration in seconds: whether a loss can spell it.
struct FrameNeeds {
  std::function<int64_t(std::span<const int32_t> tokens)> needed;
  std::function<int64_t(double duration_s)> there;
};

// Utterances sorted by domain, then by stable id; the index into `items` is the utterance number everywhere else.
// Immutable once built, so readable from every thread.
class Corpus {
 public:
  struct Item {
    Utterance utterance;
    std::string reference;  // normalised text
    std::vector<int32_t> tokens;
    uint32_t domain = 0;  // index into domains()
  };
  struct Options {
    double min_duration_s = 0.1;
    double max_duration_s = 20.0;
    bool drop_infeasible = true;      // frames.needed(tokens) > frames.there(duration)
    bool drop_textless = true;        // empty text or no known character; evaluation keeps these
    double max_rejected_share = 0.2;  // more than this of one domain is a DataError
  };
  // frames.there: exact encoder output length; both may be empty (no feasibility check).
  // Throws DataError for two equal ids, and for a domain that loses too much, naming it and its commonest reason.
  Corpus(std::vector<Utterance> utterances, const Normalizer& normalizer, const Tokenizer& tokenizer,
         const Options& options, const FrameNeeds& frames);

  const std::vector<Item>& items() const { return items_; }
  const std::vector<std::string>& domains() const { return domains_; }
  // In the order of items(): "too long", "too short", "empty text", "no known character",
  // "infeasible: 83 frames needed, 40 there", "unreadable: …"
  const std::vector<Rejection>& rejections() const { return rejections_; }
  // What engine and sampler see of it; the corpus outlives it. Its cost is seconds.
  Dataset dataset() const;
  // Characters that the vocabulary lacks (dropped from `tokens`) and annotations, of all texts that were looked at.
  const TextLosses& text_losses() const { return text_losses_; }
  double total_seconds() const;
  std::string hash() const;  // of ids, texts and durations; recorded in checkpoints

 private:
  std::vector<Item> items_;
  std::vector<std::string> domains_;
  std::vector<Rejection> rejections_;
  TextLosses text_losses_;
};

// The utterance's audio at sample_rate_hz. DataError also when the file ends before the manifest says, beyond what
// codecs round.
std::vector<float> read_audio(const AudioReaders& readers, const Utterance& utterance, int sample_rate_hz);

}  // namespace rehearse
