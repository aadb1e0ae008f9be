// Scoring of corpora, shared out over the ranks: every utterance once, the same figures in every world.
#pragma once

#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/text/scoring.h"
#include "trainer/comm/communicator.h"
#include "trainer/engine/recognizer.h"

namespace rehearse {

struct UtteranceScore {
  uint32_t utterance = 0;  // in the corpus
  EditCounts characters;
  EditCounts words;
  double loss = 0;
  std::string hypothesis;
  std::string failure;  // of the audio; the hypothesis is then empty and all characters count as deleted
};

// Batches of similar length and at most batch_seconds are dealt to ranks in turn; all ranks return all scores in order
// of utterance. Dropout and augmentation are off.
std::vector<UtteranceScore> score_corpus(Recognizer& recognizer, const Corpus& corpus, const AudioReaders& readers,
                                         double batch_seconds, Communicator& communicator);

// Sums of one domain.
struct DomainScore {
  std::string domain;
  uint64_t utterances = 0;
  double hours = 0;
  EditCounts characters;
  EditCounts words;
  double loss = 0;  // mean per reference character
};
std::vector<DomainScore> scores_by_domain(const Corpus& corpus, const std::vector<UtteranceScore>& scores);

}  // namespace rehearse
