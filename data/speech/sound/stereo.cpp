#include "data/speech/sound/stereo.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace rehearse {
namespace {

constexpr double kLostShare = 0.03;      // 15 dB below what one channel has
constexpr double kFewestSquares = 1e-3;  // less than a breath in all: nothing to say
constexpr double kComparable = 0.01;     // 20 dB
constexpr double kDifferent = 0.3;       // correlation below it: not one source

}  // namespace

void StereoSums::add(std::span<const float> interleaved, int num_channels) {
  channels = std::max(channels, num_channels);
  if (num_channels < 2) return;
  const auto step = static_cast<size_t>(num_channels);
  for (size_t i = 0; i + step <= interleaved.size(); i += step) {
    const double l = interleaved[i], r = interleaved[i + 1];
    left += l * l;
    right += r * r;
    cross += l * r;
    double sum = 0, squares = 0;
    for (size_t c = 0; c < step; ++c) {
      const double one = interleaved[i + c];
      sum += one;
      squares += one * one;
    }
    mixed += sum * sum / (num_channels * num_channels);
    each += squares / num_channels;
  }
}

std::string stereo_remark(const StereoSums& sums) {
  if (sums.channels < 2 || sums.each < kFewestSquares) return "";
  char text[160];
  if (sums.mixed < kLostShare * sums.each) {
    std::snprintf(text, sizeof text,
                  "antiphase: the average of %d channels is %.0f dB below one of them; choose one with `channel`",
                  sums.channels, std::min(99.0, -10 * std::log10(std::max(1e-12, sums.mixed / sums.each))));
    return text;
  }
  const double smaller = std::min(sums.left, sums.right), larger = std::max(sums.left, sums.right);
  const double correlation = sums.cross / std::sqrt(std::max(1e-30, sums.left * sums.right));
  if (sums.channels != 2 || smaller < kComparable * larger || correlation > kDifferent) return "";
  std::snprintf(text, sizeof text,
                "channels: the two channels hold different sound (correlation %.2f), perhaps two speakers; choose one "
                "with `channel`",
                correlation);
  return text;
}

}  // namespace rehearse
