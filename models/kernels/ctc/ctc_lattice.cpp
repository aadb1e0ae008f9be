#include "models/kernels/ctc/ctc_lattice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "models/kernels/ctc/ctc_log_domain.h"

#ifndef REHEARSE_TARGET
#define REHEARSE_KERNEL "models/kernels/ctc/ctc_lattice.cpp"
#include "models/kernels/simd/for_each_target.h"

namespace rehearse {
namespace {

template <class T>
CtcOutcome in_probabilities(const T* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                            int32_t blank, double weight, T* gradient) {
  REHEARSE_DISPATCH(ctc_in_probabilities(logits, frames, classes, target, blank, weight, gradient))
}

template <class T>
CtcOutcome loss_and_gradient(const T* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                             int32_t blank, double weight, T* gradient) {
  if (ctc_frames_needed(target) > frames || frames == 0) {
    if (gradient) std::fill(gradient, gradient + frames * classes, T(0));
    CtcOutcome outcome;
    outcome.is_infeasible = ctc_frames_needed(target) > frames;
    return outcome;
  }
  CtcOutcome outcome = in_probabilities(logits, frames, classes, target, blank, weight, gradient);
  if (!outcome.is_by_logs) return outcome;
  outcome = ctc_in_log_domain(logits, frames, classes, target, blank, weight, gradient);
  outcome.is_by_logs = true;
  return outcome;
}

}  // namespace

CtcOutcome ctc_loss_and_gradient(const float* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                                 int32_t blank, double weight, float* gradient) {
  return loss_and_gradient(logits, frames, classes, target, blank, weight, gradient);
}
CtcOutcome ctc_loss_and_gradient(const double* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                                 int32_t blank, double weight, double* gradient) {
  return loss_and_gradient(logits, frames, classes, target, blank, weight, gradient);
}

}  // namespace rehearse

#else
#include "models/kernels/simd/simd.h"

namespace rehearse::REHEARSE_TARGET {
namespace {

using simd::Lanes;
using simd::Vec;

constexpr int64_t kLanes = Lanes<double>::kCount;
// A total smaller than this has lost bits; a class so far below the best one of its frame that its float has.
constexpr double kSmallest = 1e-280;
template <class T>
constexpr T kDeepest = sizeof(T) == sizeof(float) ? T(-80) : T(-600);
// By how much the paths through one frame may differ from all paths.
constexpr double kTolerance = 1e-6;

// One row of the lattice. Blank i stands before label i, so labels and blanks are separate arrays and every step is a
// vector operation. Element −1 and the elements from the end to the next multiple of the lanes are readable.
struct Row {
  double* blanks;
  double* labels;
};

// The lattice of one utterance: rows of `width` doubles for blanks and labels, padded on both sides with zeros. The
// loss alone needs two rows of α, its gradient all of them. α of frame t is its probability times 2^−scale[t].
struct Lattice {
  int64_t frames, num_labels;
  int64_t width;       // of one array, with padding
  int64_t alpha_rows;  // frames, or 2 taken in turn
  double *alpha, *beta, *emission, *skip, *blank_emission;
  std::vector<int64_t> scale;
  double total = 0;  // of all paths, times 2^−scale of the last frame

  // Memory of this thread, which lasts from call to call.
  Lattice(int64_t frames, std::span<const int32_t> target, bool with_gradient)
      : frames(frames),
        num_labels(static_cast<int64_t>(target.size())),
        alpha_rows(with_gradient ? frames : std::min<int64_t>(frames, 2)),
        scale(static_cast<size_t>(frames), 0) {
    thread_local std::vector<double> memory;
    width = (num_labels + 1 + kLanes - 1) / kLanes * kLanes + 2 * kLanes;
    const int64_t rows = 2 * alpha_rows + 4 + alpha_rows + 1;
    memory.assign(static_cast<size_t>(rows * width + frames), 0.0);
    alpha = memory.data();
    beta = alpha + 2 * alpha_rows * width;
    emission = beta + 4 * width;
    skip = emission + alpha_rows * width;
    blank_emission = skip + width;
    for (int64_t i = 1; i < num_labels; ++i) skip[kLanes + i] = target[i] == target[i - 1] ? 0.0 : 1.0;
  }
  // Labels that frame t can hold with all before them behind it and all after them ahead, in whole vectors; blanks of
  // the same numbers are inside. Where rows are taken in turn, what lies one vector below is cleared.
  REHEARSE_INLINE int64_t first(int64_t t) const {
    return std::max<int64_t>(0, num_labels - frames + t) / kLanes * kLanes;
  }
  REHEARSE_INLINE int64_t last(int64_t t) const { return std::min(num_labels, t); }

  REHEARSE_INLINE Row alpha_row(int64_t t) const { return row(alpha + t % alpha_rows * 2 * width); }
  REHEARSE_INLINE Row beta_row(int64_t t) const { return row(beta + (t & 1) * 2 * width); }
  REHEARSE_INLINE double* emissions(int64_t t) const { return emission + t % alpha_rows * width + kLanes; }
  REHEARSE_INLINE Row row(double* base) const { return {base + kLanes, base + width + kLanes}; }
};

// 2^−exponent, exactly.
REHEARSE_INLINE double power_of_two(int64_t exponent) {
  const int64_t bits = (1023 - exponent) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return power;
}
// Of a normal number: 2^exponent ≤ value < 2^(exponent + 1).
REHEARSE_INLINE int64_t exponent_of(double value) {
  int64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits >> 52) - 1023;
}

// Restores the zeros that vector stores wrote over: beyond the last state and below the first.
REHEARSE_INLINE void clear_around(const Row& row, int64_t first, int64_t num_labels) {
  for (int64_t i = num_labels; i < num_labels + kLanes; ++i) row.labels[i] = 0;
  for (int64_t i = num_labels + 1; i < num_labels + kLanes; ++i) row.blanks[i] = 0;
  simd::store(row.labels + first - kLanes, Vec<double>{});
  simd::store(row.blanks + first - kLanes, Vec<double>{});
}

// e^(logit − largest) into `to`, which may be scratch; returns their sum. Not a number or infinite: so is a logit.
template <class T>
REHEARSE_INLINE T exponentials(const T* logits, int64_t classes, T* to, T& top) {
  constexpr int64_t kCount = Lanes<T>::kCount;
  const int64_t whole = classes / kCount * kCount;
  top = logits[0];
  if (whole > 0) {
    Vec<T> largest = simd::load(logits);
    for (int64_t v = kCount; v < whole; v += kCount) largest = simd::maximum<T>(simd::load(logits + v), largest);
    top = simd::max_lanes<T>(largest);
  }
  for (int64_t v = whole; v < classes; ++v) top = logits[v] > top ? logits[v] : top;
  Vec<T> sums = {};
  for (int64_t v = 0; v < whole; v += kCount) {
    const Vec<T> e = simd::exp(Vec<T>(simd::load(logits + v) - top));
    sums += e;
    simd::store(to + v, e);
  }
  T sum = simd::sum_lanes<T>(sums);
  if (whole < classes) {
    const Vec<T> e = simd::exp(Vec<T>(simd::load(logits + whole, classes - whole) - top));
    for (int64_t v = whole; v < classes; ++v) sum += to[v] = e[v - whole];
  }
  return sum;
}

// Probabilities of what frame t can hold; false: one of them is too small.
template <class T>
REHEARSE_INLINE bool gather_emissions(const Lattice& lattice, int64_t t, const T* logits, const T* e, T lowest,
                                      double inverse, std::span<const int32_t> target, int32_t blank) {
  bool is_in_range = logits[blank] >= lowest;
  lattice.blank_emission[t] = static_cast<double>(e[blank]) * inverse;
  double* emission = lattice.emissions(t);
  const int64_t end = std::min(lattice.num_labels, lattice.last(t) + 1);
  for (int64_t i = lattice.first(t); i < end; ++i) {
    is_in_range &= logits[target[i]] >= lowest;
    emission[i] = static_cast<double>(e[target[i]]) * inverse;
  }
  return is_in_range;
}

// α of frame t from frame t − 1, emission included (Graves et al. 2006, eq. 6), times `factor`; returns their sum.
REHEARSE_INLINE double advance_alpha(const Lattice& lattice, int64_t t, double factor) {
  const Row from = lattice.alpha_row(t - 1), to = lattice.alpha_row(t);
  const double* skip = lattice.skip + kLanes;
  const double* emission = lattice.emissions(t);
  const double blank_emission = lattice.blank_emission[t] * factor;
  const int64_t first = lattice.first(t);
  Vec<double> sum = {};
  for (int64_t i = first; i <= lattice.last(t); i += kLanes) {
    const Vec<double> blank = simd::load(from.blanks + i), label = simd::load(from.labels + i);
    const Vec<double> previous = simd::load(from.labels + i - 1);
    const Vec<double> to_blank = (blank + previous) * blank_emission;
    const Vec<double> to_label =
        (label + blank + previous * simd::load(skip + i)) * (simd::load(emission + i) * factor);
    simd::store(to.blanks + i, to_blank);
    simd::store(to.labels + i, to_label);
    sum += to_blank + to_label;
  }
  clear_around(to, first, lattice.num_labels);
  return simd::sum_lanes<double>(sum);
}

// β of frame t without its own emission from frame t + 1, times `factor`; returns their sum.
REHEARSE_INLINE double advance_beta(const Lattice& lattice, int64_t t, double factor) {
  const Row from = lattice.beta_row(t + 1), to = lattice.beta_row(t);
  const double* skip = lattice.skip + kLanes;
  const double* emission = lattice.emissions(t + 1);
  const double blank_emission = lattice.blank_emission[t + 1] * factor;
  const int64_t first = lattice.first(t);
  Vec<double> sum = {};
  for (int64_t i = first; i <= lattice.last(t); i += kLanes) {
    const Vec<double> blank = simd::load(from.blanks + i) * blank_emission;
    const Vec<double> label = simd::load(from.labels + i) * (simd::load(emission + i) * factor);
    const Vec<double> next_blank = simd::load(from.blanks + i + 1) * blank_emission;
    const Vec<double> next_label =
        simd::load(from.labels + i + 1) * (simd::load(emission + i + 1) * factor) * simd::load(skip + i + 1);
    const Vec<double> to_blank = blank + label, to_label = label + next_blank + next_label;
    simd::store(to.blanks + i, to_blank);
    simd::store(to.labels + i, to_label);
    sum += to_blank + to_label;
  }
  clear_around(to, first, lattice.num_labels);
  return simd::sum_lanes<double>(sum);
}

enum class Pass { kDone, kNotFinite, kLeftRange };

// Σ scaled α of all frames into the lattice, weight · softmax into `gradient` unless it is null.
template <class T>
REHEARSE_INLINE Pass forward_pass(Lattice& lattice, const T* logits, int64_t classes, std::span<const int32_t> target,
                                  int32_t blank, double weight, T* gradient, double& log_total) {
  thread_local std::vector<T> scratch;
  if (!gradient) scratch.resize(static_cast<size_t>(classes));
  double sum = 1;
  for (int64_t t = 0; t < lattice.frames; ++t) {
    const T* row = logits + t * classes;
    T* e = gradient ? gradient + t * classes : scratch.data();
    T top;
    const T total = exponentials(row, classes, e, top);
    if (!std::isfinite(total)) return Pass::kNotFinite;
    if (!gather_emissions(lattice, t, row, e, top + kDeepest<T>, 1.0 / static_cast<double>(total), target, blank))
      return Pass::kLeftRange;
    if (gradient) {
      const T share = static_cast<T>(weight / static_cast<double>(total));
      for (int64_t v = 0; v < classes; ++v) e[v] *= share;
    }
    if (t > 0) {
      const int64_t exponent = exponent_of(sum);
      lattice.scale[t] = lattice.scale[t - 1] + exponent;
      sum = advance_alpha(lattice, t, power_of_two(exponent));
    } else {
      const Row start = lattice.alpha_row(0);
      start.blanks[0] = sum = lattice.blank_emission[0];
      if (lattice.num_labels > 0) sum += start.labels[0] = lattice.emissions(0)[0];
    }
    if (!(sum > kSmallest)) return Pass::kLeftRange;
  }
  const Row end = lattice.alpha_row(lattice.frames - 1);
  const int64_t n = lattice.num_labels;
  lattice.total = end.blanks[n] + (n > 0 ? end.labels[n - 1] : 0.0);
  log_total = std::log(lattice.total) + static_cast<double>(lattice.scale.back()) * 0.69314718055994530942;
  return lattice.total > kSmallest ? Pass::kDone : Pass::kLeftRange;
}

// Takes weight · p(state | target) of frame t off the softmax in `gradient`. False: the paths through this frame are
// not all paths; α or β has lost some.
template <class T>
REHEARSE_INLINE bool subtract_posteriors(const Lattice& lattice, int64_t t, int64_t beta_scale,
                                         std::span<const int32_t> target, int32_t blank, double weight, T* gradient) {
  const Row alpha = lattice.alpha_row(t), beta = lattice.beta_row(t);
  Vec<double> blanks = {}, labels = {};
  for (int64_t i = lattice.first(t); i <= lattice.last(t); i += kLanes) {
    blanks += simd::load(alpha.blanks + i) * simd::load(beta.blanks + i);
    labels += simd::load(alpha.labels + i) * simd::load(beta.labels + i);
  }
  const double of_blanks = simd::sum_lanes<double>(blanks), all = of_blanks + simd::sum_lanes<double>(labels);
  const double ratio =
      std::ldexp(all, static_cast<int>(lattice.scale[t] + beta_scale - lattice.scale.back())) / lattice.total;
  if (!(std::abs(ratio - 1) < kTolerance) || !(all > kSmallest)) return false;
  const double share = weight / all;
  gradient[blank] -= static_cast<T>(share * of_blanks);
  const int64_t end = std::min(lattice.num_labels, lattice.last(t) + 1);
  for (int64_t i = lattice.first(t); i < end; ++i)
    gradient[target[i]] -= static_cast<T>(share * alpha.labels[i] * beta.labels[i]);
  return true;
}

template <class T>
REHEARSE_INLINE bool backward_pass(const Lattice& lattice, int64_t classes, std::span<const int32_t> target,
                                   int32_t blank, double weight, T* gradient) {
  const int64_t last = lattice.frames - 1, n = lattice.num_labels;
  lattice.beta_row(last).blanks[n] = 1;
  if (n > 0) lattice.beta_row(last).labels[n - 1] = 1;
  double sum = 1;
  int64_t scale = 0;
  for (int64_t t = last; t >= 0; --t) {
    if (t < last) {
      const int64_t exponent = exponent_of(sum);
      scale += exponent;
      sum = advance_beta(lattice, t, power_of_two(exponent));
      if (!(sum > kSmallest)) return false;
    }
    if (!subtract_posteriors(lattice, t, scale, target, blank, weight, gradient + t * classes)) return false;
  }
  return true;
}

template <class T>
REHEARSE_INLINE CtcOutcome loss_and_gradient(const T* logits, int64_t frames, int64_t classes,
                                             std::span<const int32_t> target, int32_t blank, double weight,
                                             T* gradient) {
  CtcOutcome outcome;
  Lattice lattice(frames, target, gradient != nullptr);
  double log_total = 0;
  const Pass pass = forward_pass(lattice, logits, classes, target, blank, weight, gradient, log_total);
  outcome.loss = -log_total;
  if (pass == Pass::kNotFinite) {  // a diverged model must not look healthy
    outcome.loss = std::numeric_limits<double>::quiet_NaN();
    if (gradient) std::fill(gradient, gradient + frames * classes, std::numeric_limits<T>::quiet_NaN());
    return outcome;
  }
  outcome.is_by_logs =
      pass == Pass::kLeftRange || (gradient && !backward_pass(lattice, classes, target, blank, weight, gradient));
  return outcome;
}

}  // namespace

CtcOutcome ctc_in_probabilities(const float* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                                int32_t blank, double weight, float* gradient) {
  return loss_and_gradient(logits, frames, classes, target, blank, weight, gradient);
}
CtcOutcome ctc_in_probabilities(const double* logits, int64_t frames, int64_t classes, std::span<const int32_t> target,
                                int32_t blank, double weight, double* gradient) {
  return loss_and_gradient(logits, frames, classes, target, blank, weight, gradient);
}

}  // namespace rehearse::REHEARSE_TARGET
#endif
