// The sums of one update that ride behind the gradients in the last bucket.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>

#include "trainer/observe/terms.h"

namespace rehearse {

// Each value is a sum over ranks after the all-reduce. A new one is a member and a line in kFields, or a task's own.
struct StepTally {
  double normalizer = 0;  // of the loss
  double loss = 0;
  double draws = 0;
  double error = 0;  // Σ of the draws that were measured, each in [0, 1]
  double cost = 0;   // of what was loaded, in the unit of Dataset::cost
  double stop_requests = 0;
  double failures = 0;                      // examples that could not be loaded
  double elapsed_s = 0;                     // of rank 0; others add nothing
  double micro_batches = 0;                 // that held anything
  double infeasible = 0;                    // draws that taught nothing as they were drawn
  std::array<double, kMaxTaskSums> task{};  // the task's, in the order of its terms

  static constexpr double StepTally::*kFields[] = {
      &StepTally::normalizer, &StepTally::loss,         &StepTally::draws,         &StepTally::error,
      &StepTally::cost,       &StepTally::failures,     &StepTally::stop_requests, &StepTally::elapsed_s,
      &StepTally::infeasible, &StepTally::micro_batches};

  StepTally& operator+=(const StepTally& other) {
    for (const auto field : kFields) this->*field += other.*field;
    for (size_t i = 0; i < kMaxTaskSums; ++i) task[i] += other.task[i];
    return *this;
  }

  // Σ error over the draws that were measured, by their number.
  double num_measured() const { return draws - failures - infeasible; }

  // A field travels as two floats, a multiple of kUnit and what is left, because ranks add floats: whole numbers stay
  // exact up to 2^36 over all ranks (4,096 at most), seconds are good to 0.3 ms.
  static constexpr double kUnit = 4096;
  static constexpr size_t kFloats = 2 * (std::size(kFields) + kMaxTaskSums);
  template <class T>
  void write_to(T* tail) const {
    const auto write = [&tail](double value) {
      const double high = std::floor(value / kUnit);
      *tail++ = static_cast<T>(high);
      *tail++ = static_cast<T>(value - high * kUnit);
    };
    for (const auto field : kFields) write(this->*field);
    for (const double value : task) write(value);
  }
  template <class T>
  static StepTally read_from(const T* tail) {
    const auto read = [&tail] {
      const double value = static_cast<double>(tail[0]) * kUnit + static_cast<double>(tail[1]);
      tail += 2;
      return value;
    };
    StepTally tally;
    for (const auto field : kFields) tally.*field = read();
    for (double& value : tally.task) value = read();
    return tally;
  }
};

}  // namespace rehearse
