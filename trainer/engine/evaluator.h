// Scoring of corpora, shared out over the ranks: every utterance once, the same figures in every world.
#pragma once

#include <string>
#include <vector>

#include "data/speech/corpus.h"
#include "data/text/scoring.h"
#include "trainer/comm/communicator.h"
#include "trainer/engine/recognizer.h"

namespace rehearse {

struct UtteranceScore {
  uint32_t utterance = 0;  // in the corpus
  EditCounts characters;
  EditCounts words;
  double loss = 0;
  bool is_empty = false;   // nothing was heard
  std::string hypothesis;  // where it is wanted
  std::string failure;     // of the audio; the hypothesis is then empty and all characters count as deleted
};

struct ScoringOptions {
  double batch_seconds = 120;        // padded seconds computed at once
  int loader_threads = 1;            // that decode
  bool with_hypotheses = false;      // counts alone are a tenth of what travels between ranks
  std::vector<uint32_t> utterances;  // these alone; empty: all
};

// Batches of similar length and at most batch_seconds are dealt to ranks by their padded seconds; all ranks return all
// scores in order of utterance. Dropout and augmentation are off. What is longer than kWholeUpTo_s is computed in the
// windows of `rehearse transcribe`; its loss is that of the logits that these give together.
constexpr double kWholeUpTo_s = 60;
std::vector<UtteranceScore> score_corpus(Recognizer& recognizer, const Corpus& corpus, const AudioReaders& readers,
                                         const ScoringOptions& options, Communicator& communicator);

// Sums of one domain.
struct DomainScore {
  std::string domain;
  uint64_t utterances = 0;
  double hours = 0;
  EditCounts characters;
  EditCounts words;
  double loss_per_token = 0;
  uint64_t empty = 0;  // hypotheses of audio that could be read
  uint64_t failures = 0;
};
std::vector<DomainScore> scores_by_domain(const Corpus& corpus, const std::vector<UtteranceScore>& scores);

}  // namespace rehearse
