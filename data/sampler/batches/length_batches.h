// Cuts the draws of a planning window into micro-batches of similar length and deals them to the window's steps.
#pragma once

#include <cstddef>
#include <vector>

#include "data/sampler/batches/batch_planner.h"
#include "trainer/base/random.h"

namespace rehearse {

// Seconds of the longest draw times the number of draws.
double padded_seconds(const MicroBatch& batch, const std::vector<float>& duration_s);

// Collects draws until, cut into `num_batches`, they hold `seconds` padded seconds. duration_s outlives it.
class LengthBatches {
 public:
  LengthBatches(const std::vector<float>& duration_s, size_t num_batches, double seconds)
      : duration_s_(duration_s), num_batches_(num_batches), seconds_(seconds) {}

  // How many more draws to add before asking again; 0: enough. An estimate from below, so the goal is hardly overshot.
  size_t num_wanted() const;
  void add(const Draw& draw);
  // Micro-batches from short to long, none empty; the largest padded seconds are as small as contiguous cuts allow.
  std::vector<MicroBatch> take();

 private:
  std::vector<size_t> cuts(std::vector<float>& sorted) const;  // end of each batch in sorted order
  double padded_total() const;

  const std::vector<float>& duration_s_;
  size_t num_batches_;
  double seconds_;
  double drawn_seconds_ = 0;
  std::vector<Draw> draws_;
};

// batches: from short to long, a multiple of num_steps. Every step gets one of each num_steps neighbours, by a shuffle
// keyed by `key`, then exchanges between steps even out their padded seconds. Within a step the halves are evened out,
// and their halves, so that 2 or 4 ranks have equally much to do.
std::vector<std::vector<MicroBatch>> deal_to_steps(std::vector<MicroBatch> batches,
                                                   const std::vector<float>& duration_s, size_t num_steps,
                                                   const RandomKey& key);

}  // namespace rehearse
