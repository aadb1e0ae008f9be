#include "models/kernels/ctc/ctc_length.h"

#include <cmath>

namespace rehearse {

int64_t ctc_frames_needed(std::span<const int32_t> tokens) {
  auto needed = static_cast<int64_t>(tokens.size());
  for (size_t i = 1; i < tokens.size(); ++i) needed += tokens[i] == tokens[i - 1] ? 1 : 0;
  return needed;
}

int64_t ctc_frames_there(double duration_s, double hop_s, int stride) {
  constexpr double kRounding = 1e-9;  // 0.3 s of 0.1 s are three, whatever the quotient of the nearest doubles says
  return static_cast<int64_t>(std::floor(duration_s / hop_s + kRounding)) / stride + 1;
}

}  // namespace rehearse
