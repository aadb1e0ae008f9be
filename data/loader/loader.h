// Decodes and augments planned micro-batches in the background, in plan order whatever the number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/sampler/batch_planner.h"
#include "data/speech/audio/audio_reader.h"
#include "data/speech/augment/augmentation.h"
#include "data/speech/corpus.h"

namespace rehearse {

// Mono samples at the front-end's rate, zero-padded to the longest. A failed utterance has its reason in `failures`, a
// short silent clip as audio, no tokens and weight 0.
struct LoadedBatch {
  uint64_t step = 0;
  int micro_batch = 0;               // index in StepPlan::micro_batches
  std::vector<float> samples;        // [B, max_samples], row-major
  std::vector<int64_t> num_samples;  // [B]
  std::vector<int64_t> num_decoded;  // [B] samples before augmentation
  int64_t max_samples = 0;
  std::vector<uint32_t> utterances;          // [B] corpus index
  std::vector<uint64_t> ids;                 // [B] stable ids
  std::vector<Draw> draws;                   // [B]
  std::vector<uint32_t> positions;           // [B]
  std::vector<std::vector<int32_t>> tokens;  // [B]
  std::vector<float> weights;                // [B] 1 or 0
  std::vector<std::string> failures;         // [B] empty or the reason
  bool is_cacheable = false;                 // nothing augments: the same samples come again
  double load_seconds = 0;                   // time spent decoding, all threads
};

// push() and next() from one thread; the workers are private. Any number of micro-batches may be queued, but only a few
// are decoded ahead of next(). The content of a batch depends on the seed and the draws alone. Destruction stops the
// workers after the utterance each is at; what was queued is dropped.
class Loader {
 public:
  struct Options {
    int threads = 1;
    int sample_rate_hz = 16000;
    int64_t cache_bytes =
        1ll << 30;  // decoded int16 audio kept in memory until full, so later passes do not decode again
    static Options from(ConfigNode& node);
  };
  // The corpus, readers and augmentations outlive the loader. An empty augmentation list is evaluation.
  Loader(const Options& options, const Corpus& corpus, const AudioReaders& readers,
         const std::vector<std::unique_ptr<Augmentation>>& augmentations, uint64_t seed);
  ~Loader();

  // Queues one micro-batch (never blocks).
  void push(uint64_t step, int micro_batch, const MicroBatch& batch);
  // The oldest queued micro-batch; blocks until it is ready. REQUIRES: one is queued.
  LoadedBatch next();

 private:
  struct Workers;
  std::unique_ptr<Workers> workers_;
};

}  // namespace rehearse
