// Whether CTC can spell a text: frames that it needs against frames that there are.
#pragma once

#include <cstdint>
#include <span>

namespace rehearse {

// tokens + adjacent equal tokens: the fewest frames CTC needs.
int64_t ctc_frames_needed(std::span<const int32_t> tokens);

// Output frames of an encoder of this stride, made of convolutions with centred padding, for audio of duration_s.
int64_t ctc_frames_there(double duration_s, double hop_s, int stride);

}  // namespace rehearse
