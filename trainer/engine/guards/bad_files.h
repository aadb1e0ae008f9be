// Files that training could not read: a budget for it, and each file said once, as is its return.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "data/sampler/sampler.h"

namespace rehearse {

// Fed with the gathered observations, so all ranks come to the same end at the same step. A start from a checkpoint
// counts anew.
class BadFiles {
 public:
  // max_share: data.max_rejected_share. `dataset` outlives it.
  BadFiles(const Dataset& dataset, double max_share);

  // The utterances whose files turned out bad for the first time, and those that could be read again for the first
  // time. DataError naming domain, counts and a file when a domain has more bad ones than allowed: of the whole domain,
  // or of what was drawn so far by more than three standard deviations.
  struct Changes {
    std::vector<uint32_t> bad;
    std::vector<uint32_t> recovered;
  };
  Changes observe(std::span<const Observation> observations);

 private:
  struct Count {
    uint64_t all = 0;
    uint64_t drawn = 0;  // different utterances
    uint64_t bad = 0;    // now
  };
  void expect_few(const Count& count, uint32_t utterance) const;

  const Dataset& dataset_;
  double max_share_;
  std::vector<Count> counts_;  // by domain
  std::vector<uint8_t> seen_;  // by utterance: drawn, bad, what was said
};

}  // namespace rehearse
