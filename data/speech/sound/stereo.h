// Do the channels of a recording hold the same sound? Their average is what is read unless one is asked for.
#pragma once

#include <span>
#include <string>

namespace rehearse {

struct StereoSums {
  int channels = 1;
  double left = 0, right = 0, cross = 0;  // of the first two: squares and products
  double each = 0, mixed = 0;             // squares: mean over the channels, and of the average

  void add(std::span<const float> interleaved, int num_channels);
};

// "antiphase: …" when the average loses nearly all sound, "channels: …" when two of them hold different sound;
// "" otherwise.
std::string stereo_remark(const StereoSums& sums);

}  // namespace rehearse
