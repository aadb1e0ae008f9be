// Conversion of the sample rate, piece by piece.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace rehearse {

// The sum of what push() and finish() append is a function of all samples pushed, not of the pieces they came in, and
// has llround(samples * to_hz / from_hz) samples, at least one when there is any.
class Resampler {
 public:
  Resampler(int from_hz, int to_hz);
  ~Resampler();
  Resampler(const Resampler&) = delete;
  Resampler& operator=(const Resampler&) = delete;

  void push(std::span<const float> samples, std::vector<float>& output);
  void finish(std::vector<float>& output);

 private:
  struct Filter;
  int from_hz_, to_hz_;
  int64_t pushed_ = 0, produced_ = 0;
  std::unique_ptr<Filter> filter_;  // none between equal rates
};

}  // namespace rehearse
