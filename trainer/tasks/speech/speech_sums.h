// The sums that speech adds up: indices into a TaskSums of an update and into ExampleScore::sums.
#pragma once

#include <cstddef>

namespace rehearse {

struct SpeechSums {
  enum : size_t { kEdits, kReferenceLength, kBlankFrames, kFrames, kCount };
};

struct SpeechScore {
  enum : size_t { kEdits, kLength, kWordEdits, kWords, kSubstitutions, kDeletions, kInsertions, kCount };
};

}  // namespace rehearse
