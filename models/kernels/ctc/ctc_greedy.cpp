#include <algorithm>

#include "models/kernels/ctc/ctc_lattice.h"

namespace rehearse {
namespace {

// Frame t, behind a frame whose best class was `previous`.
void extend(GreedyPath& path, int64_t t, int32_t best, int32_t previous, int32_t blank) {
  if (best == blank) ++path.num_blank_frames;
  if (best != blank && best != previous) {
    path.tokens.push_back(best);
    path.frames.push_back(t);
  }
}

template <class T>
GreedyPath greedy(const T* logits, int64_t frames, int64_t classes, int32_t blank) {
  GreedyPath path;
  int32_t previous = blank;
  for (int64_t t = 0; t < frames; ++t) {
    const T* row = logits + t * classes;
    const auto best = static_cast<int32_t>(std::max_element(row, row + classes) - row);
    extend(path, t, best, previous, blank);
    previous = best;
  }
  return path;
}

}  // namespace

GreedyPath ctc_collapse(std::span<const int32_t> best, int32_t blank) {
  GreedyPath path;
  for (size_t t = 0; t < best.size(); ++t)
    extend(path, static_cast<int64_t>(t), best[t], t > 0 ? best[t - 1] : blank, blank);
  return path;
}

GreedyPath ctc_greedy(const float* logits, int64_t frames, int64_t classes, int32_t blank) {
  return greedy(logits, frames, classes, blank);
}
GreedyPath ctc_greedy(const double* logits, int64_t frames, int64_t classes, int32_t blank) {
  return greedy(logits, frames, classes, blank);
}

}  // namespace rehearse
