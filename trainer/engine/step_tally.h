// The sums of one update that ride behind the gradients in the last bucket.
#pragma once

#include <cmath>
#include <cstddef>
#include <iterator>

namespace rehearse {

// Each field is a sum over ranks after the all-reduce. A new one is a member and a line in kFields.
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
  double infeasible = 0;     // draws with fewer frames than their text needs

  static constexpr double StepTally::*kFields[] = {
      &StepTally::tokens,           &StepTally::loss,          &StepTally::draws,        &StepTally::edits,
      &StepTally::reference_length, &StepTally::clipped_cer,   &StepTally::blank_frames, &StepTally::frames,
      &StepTally::audio_s,          &StepTally::stop_requests, &StepTally::failures,     &StepTally::elapsed_s,
      &StepTally::micro_batches,    &StepTally::infeasible};

  StepTally& operator+=(const StepTally& other) {
    for (const auto field : kFields) this->*field += other.*field;
    return *this;
  }

  // A field travels as two floats, a multiple of kUnit and what is left, because ranks add floats: whole numbers stay
  // exact up to 2^36 over all ranks (4,096 at most), seconds are good to 0.3 ms.
  static constexpr double kUnit = 4096;
  static constexpr size_t kFloats = 2 * std::size(kFields);
  template <class T>
  void write_to(T* tail) const {
    for (const auto field : kFields) {
      const double value = this->*field, high = std::floor(value / kUnit);
      *tail++ = static_cast<T>(high);
      *tail++ = static_cast<T>(value - high * kUnit);
    }
  }
  template <class T>
  static StepTally read_from(const T* tail) {
    StepTally tally;
    for (const auto field : kFields) {
      tally.*field = static_cast<double>(tail[0]) * kUnit + static_cast<double>(tail[1]);
      tail += 2;
    }
    return tally;
  }
};

}  // namespace rehearse
