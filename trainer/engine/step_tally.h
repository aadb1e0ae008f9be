// The sums of one update that ride behind the gradients in the last bucket.
#pragma once

#include <cstddef>

namespace rehearse {

// Each field is a sum over ranks after the all-reduce. Kept as floats, in the arena's element type.
struct StepTally {
  double tokens = 0;  // the loss normaliser
  double loss = 0;
  double draws = 0;
  double edits = 0;
  double reference_length = 0;
  double clipped_cer = 0;  // Σ min(1, edits / length)
  double blank_frames = 0;
  double frames = 0;
  double audio_s = 0;
  double stop_requests = 0;
  double failures = 0;       // utterances that could not be read
  double elapsed_s = 0;      // of rank 0; others add nothing
  double micro_batches = 0;  // that held anything

  static constexpr size_t kFields = 13;
  template <class T>
  void write_to(T* tail) const {
    const double fields[kFields] = {tokens,      loss,         draws,        edits,   reference_length,
                                    clipped_cer, blank_frames, frames,       audio_s, stop_requests,
                                    failures,    elapsed_s,    micro_batches};
    for (size_t i = 0; i < kFields; ++i) tail[i] = static_cast<T>(fields[i]);
  }
  template <class T>
  static StepTally read_from(const T* t) {
    return {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12]};
  }
};

}  // namespace rehearse
