// Whether CTC can spell the training texts: vocabularies against strides, per domain.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/text/tokenizer.h"

namespace rehearse {

struct SpokenLine {
  std::string domain;
  std::string text;  // normalised
  double duration_s = 0;
};

// A row per domain and vocabulary: the run's own, characters, and subwords of two sizes, these trained on the lines.
// Cells are the share of lines whose tokens and adjacent repeats do not fit: for strides 2, 4 and 8 into
// the frames of an encoder of that stride, and for the run's own model into `frames` of it, the exact number.
std::string feasibility_text(const std::vector<SpokenLine>& lines, const Tokenizer& own, double hop_s,
                             const std::function<int64_t(double)>& frames);

}  // namespace rehearse
