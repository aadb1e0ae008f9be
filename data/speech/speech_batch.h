// Draws of a corpus to padded sound with its tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "data/loader/batch.h"
#include "data/speech/audio/audio_reader.h"
#include "data/speech/augment/augmentation.h"
#include "data/speech/corpus.h"

namespace rehearse {

// Mono samples at the front-end's rate, zero-padded to the longest. A failed utterance has a short silent clip as audio
// and no tokens.
struct SpeechBatch : Batch {
  std::string size_text() const override;
  std::vector<Measure> measures() const override;

  const Corpus* corpus = nullptr;    // of the draws; null: their texts are not known
  std::vector<float> samples;        // [B, max_samples], row-major
  std::vector<int64_t> num_samples;  // [B]
  std::vector<int64_t> num_decoded;  // [B] samples before augmentation
  int64_t max_samples = 0;
  std::vector<std::vector<int32_t>> tokens;  // [B]
  bool is_cacheable = false;                 // nothing augments: the same samples come again
  int sample_rate_hz = 16000;
};

// Decodes, augments and pads. Thread-safe; what it makes is a function of the seed and the draws alone.
class SpeechLoading {
 public:
  struct Options {
    int sample_rate_hz = 16000;
    int64_t cache_bytes =
        1ll << 30;  // decoded int16 audio kept in memory until full, so later passes do not decode again
    static Options from(ConfigNode& loader);
  };
  // The corpus, readers and augmentations outlive it. An empty augmentation list is evaluation.
  SpeechLoading(const Options& options, const Corpus& corpus, const AudioReaders& readers,
                const std::vector<std::unique_ptr<Augmentation>>& augmentations, uint64_t seed);
  ~SpeechLoading();
  std::unique_ptr<SpeechBatch> load(const MicroBatch& plan, const std::stop_token& stop = {}) const;
  // Into a new batch, or one of a derived type.
  void load_into(SpeechBatch& batch, const MicroBatch& plan, const std::stop_token& stop) const;

 private:
  class Cache;
  std::vector<float> add_utterance(SpeechBatch& batch, const Draw& draw) const;
  std::shared_ptr<const std::vector<int16_t>> decoded(uint32_t index, const Utterance& utterance) const;

  Options options_;
  const Corpus& corpus_;
  const AudioReaders& readers_;
  const std::vector<std::unique_ptr<Augmentation>>& augmentations_;
  RandomKey augment_key_;
  std::unique_ptr<Cache> cache_;
};

}  // namespace rehearse
