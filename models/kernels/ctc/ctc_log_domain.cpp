#include "models/kernels/ctc/ctc_log_domain.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "trainer/base/simd_clones.h"
#define REHEARSE_TARGET ctc_log_clones
#define REHEARSE_VECTOR_BYTES 32
#include "models/kernels/simd/simd.h"

namespace rehearse {
namespace {

namespace simd = ctc_log_clones::simd;
using simd::Lanes;
using simd::Vec;

// Minus infinity that survives subtraction.
constexpr double kNever = -1e30;
constexpr int64_t kLanes = Lanes<double>::kCount;

REHEARSE_INLINE Vec<double> log_add(const Vec<double>& a, const Vec<double>& b) {
  const Vec<double> top = simd::maximum<double>(a, b);
  return top + simd::log(1.0 + simd::exp(Vec<double>(simd::minimum<double>(a, b) - top)));
}

REHEARSE_INLINE Vec<double> log_add(const Vec<double>& a, const Vec<double>& b, const Vec<double>& c) {
  const Vec<double> top = simd::maximum<double>(simd::maximum<double>(a, b), c);
  return top +
         simd::log(simd::exp(Vec<double>(a - top)) + simd::exp(Vec<double>(b - top)) + simd::exp(Vec<double>(c - top)));
}

double log_add(double a, double b) {
  return std::max(a, b) + std::log1p(std::exp(-std::fabs(a - b)));
}

// One row of the lattice. Blank i stands before label i, so labels and blanks are separate arrays and every step is a
// vector operation. Element −1 and the elements from the end to the next multiple of the lanes are readable.
struct Row {
  double* blanks;
  double* labels;
};

// The lattice of one utterance: rows of `width` doubles for blanks and labels, padded on both sides with kNever. The
// loss alone needs two rows of α, its gradient all of them.
struct Lattice {
  int64_t frames;
  int64_t num_labels;
  int64_t width;                    // of one array, with padding
  int64_t alpha_rows;               // frames, or 2 taken in turn
  std::vector<double> alpha;        // [alpha_rows, 2, width]
  std::vector<double> beta;         // [2, 2, width]: rows t and t + 1
  std::vector<double> skip;         // [width] 0 where label i may follow label i − 1 directly, else kNever
  std::vector<double> emission;     // [width] of the labels at one frame
  std::vector<double> row_log_sum;  // [frames] ln Σ e^logit

  Lattice(int64_t frames, std::span<const int32_t> target, bool with_gradient)
      : frames(frames),
        num_labels(static_cast<int64_t>(target.size())),
        alpha_rows(with_gradient ? frames : std::min<int64_t>(frames, 2)) {
    width = (num_labels + 1 + kLanes - 1) / kLanes * kLanes + 2 * kLanes;
    alpha.assign(alpha_rows * 2 * width, kNever);
    if (with_gradient) beta.assign(4 * width, kNever);
    skip.assign(width, kNever);
    emission.assign(width, kNever);
    row_log_sum.resize(frames);
    for (int64_t i = 1; i < num_labels; ++i) skip[kLanes + i] = target[i] == target[i - 1] ? kNever : 0.0;
  }
  // Labels that frame t can hold with all before them behind it and all after them ahead: the others stay kNever, or
  // in rows taken in turn what an earlier frame left there, which no path to the end touches. Blocks of whole vectors;
  // blanks of the same numbers are inside.
  REHEARSE_INLINE int64_t first(int64_t t) const {
    return std::max<int64_t>(0, num_labels - frames + t) / kLanes * kLanes;
  }
  REHEARSE_INLINE int64_t last(int64_t t) const { return std::min(num_labels, t); }

  REHEARSE_INLINE Row alpha_row(int64_t t) { return row(alpha.data() + t % alpha_rows * 2 * width); }
  REHEARSE_INLINE Row beta_row(int64_t t) { return row(beta.data() + (t & 1) * 2 * width); }
  REHEARSE_INLINE Row row(double* base) const { return {base + kLanes, base + width + kLanes}; }
};

// Of the labels that frame t can hold.
template <class T>
REHEARSE_INLINE void gather_emissions(Lattice& lattice, int64_t t, const T* logits, std::span<const int32_t> target) {
  double* emission = lattice.emission.data() + kLanes;
  const int64_t end = std::min(lattice.num_labels, lattice.last(t) + 1);
  for (int64_t i = lattice.first(t); i < end; ++i)
    emission[i] = static_cast<double>(logits[target[i]]) - lattice.row_log_sum[t];
}

// Restores what vector stores wrote beyond the last state.
REHEARSE_INLINE void clear_tail(const Row& row, int64_t num_labels) {
  for (int64_t i = num_labels; i < num_labels + kLanes; ++i) row.labels[i] = kNever;
  for (int64_t i = num_labels + 1; i < num_labels + kLanes; ++i) row.blanks[i] = kNever;
}

// α_t(s) of frame t from frame t − 1, emission included (Graves et al. 2006, eq. 6).
REHEARSE_INLINE void advance_alpha(Lattice& lattice, int64_t t, double blank_emission) {
  const Row from = lattice.alpha_row(t - 1);
  const Row to = lattice.alpha_row(t);
  const double* skip = lattice.skip.data() + kLanes;
  const double* emission = lattice.emission.data() + kLanes;
  for (int64_t i = lattice.first(t); i <= lattice.last(t); i += kLanes) {
    const Vec<double> blank = simd::load(from.blanks + i);
    const Vec<double> label = simd::load(from.labels + i);
    const Vec<double> previous = simd::load(from.labels + i - 1);
    simd::store(to.blanks + i, Vec<double>(log_add(blank, previous) + blank_emission));
    const Vec<double> reached = log_add(label, blank, Vec<double>(previous + simd::load(skip + i)));
    simd::store(to.labels + i, Vec<double>(reached + simd::load(emission + i)));
  }
  clear_tail(to, lattice.num_labels);
}

// β_t(s) without frame t's emission, from frame t + 1; `lattice.emission` is that of frame t + 1.
REHEARSE_INLINE void advance_beta(Lattice& lattice, int64_t t, double blank_emission) {
  const Row from = lattice.beta_row(t + 1);
  const Row to = lattice.beta_row(t);
  const double* skip = lattice.skip.data() + kLanes;
  const double* emission = lattice.emission.data() + kLanes;
  for (int64_t i = lattice.first(t); i <= lattice.last(t); i += kLanes) {
    const Vec<double> blank = simd::load(from.blanks + i) + blank_emission;
    const Vec<double> label = simd::load(from.labels + i) + simd::load(emission + i);
    const Vec<double> next_blank = simd::load(from.blanks + i + 1) + blank_emission;
    const Vec<double> next_label =
        simd::load(from.labels + i + 1) + simd::load(emission + i + 1) + simd::load(skip + i + 1);
    simd::store(to.blanks + i, log_add(blank, label));
    simd::store(to.labels + i, log_add(label, next_blank, next_label));
  }
  clear_tail(to, lattice.num_labels);
}

// Softmax of one row into `to` (times weight) and its log-sum-exp.
template <class T>
REHEARSE_INLINE double row_softmax(const T* logits, int64_t classes, double weight, T* to) {
  T top = logits[0];
  for (int64_t v = 1; v < classes; ++v) top = std::max(top, logits[v]);
  double sum = 0;
  Vec<T> sums = {};
  int64_t v = 0;
  for (; v + Lanes<T>::kCount <= classes; v += Lanes<T>::kCount) {
    const Vec<T> e = simd::exp(Vec<T>(simd::load(logits + v) - top));
    sums += e;
    if (to) simd::store(to + v, e);
  }
  if (v < classes) {
    const Vec<T> e = simd::exp(Vec<T>(simd::load(logits + v, classes - v) - top));
    for (int64_t i = v; i < classes; ++i) sum += e[i - v];
    if (to) simd::store(to + v, e, classes - v);
  }
  sum += simd::sum_lanes<T>(sums);
  if (to) {
    const T scale = static_cast<T>(weight / sum);
    for (v = 0; v < classes; ++v) to[v] *= scale;
  }
  return static_cast<double>(top) + std::log(sum);
}

// Subtracts weight · p(state | target) of frame t from the softmax in `gradient`.
template <class T>
REHEARSE_INLINE void subtract_posteriors(Lattice& lattice, int64_t t, std::span<const int32_t> target, int32_t blank,
                                         double log_likelihood, double weight, T* gradient) {
  const Row alpha = lattice.alpha_row(t);
  const Row beta = lattice.beta_row(t);
  double* posterior = lattice.emission.data() + kLanes;
  double blank_sum = 0;
  for (int64_t i = lattice.first(t); i <= lattice.last(t); i += kLanes) {
    const Vec<double> blanks = simd::load(alpha.blanks + i) + simd::load(beta.blanks + i) - log_likelihood;
    const Vec<double> labels = simd::load(alpha.labels + i) + simd::load(beta.labels + i) - log_likelihood;
    blank_sum += simd::sum_lanes<double>(simd::exp(blanks));
    simd::store(posterior + i, simd::exp(labels));
  }
  gradient[blank] -= static_cast<T>(weight * blank_sum);
  const int64_t end = std::min(lattice.num_labels, lattice.last(t) + 1);
  for (int64_t i = lattice.first(t); i < end; ++i) gradient[target[i]] -= static_cast<T>(weight * posterior[i]);
}

template <class T>
REHEARSE_INLINE double forward_pass(Lattice& lattice, const T* logits, int64_t classes, std::span<const int32_t> target,
                                    int32_t blank, double weight, T* gradient) {
  const int64_t frames = lattice.frames;
  for (int64_t t = 0; t < frames; ++t) {
    const T* row = logits + t * classes;
    const double log_sum = row_softmax(row, classes, weight, gradient ? gradient + t * classes : nullptr);
    lattice.row_log_sum[t] = log_sum;
    gather_emissions(lattice, t, row, target);
    const double blank_emission = static_cast<double>(row[blank]) - log_sum;
    if (t > 0) {
      advance_alpha(lattice, t, blank_emission);
    } else {
      lattice.alpha_row(0).blanks[0] = blank_emission;
      if (lattice.num_labels > 0) lattice.alpha_row(0).labels[0] = lattice.emission[kLanes];
    }
  }
  const Row last = lattice.alpha_row(frames - 1);
  const int64_t n = lattice.num_labels;
  return n > 0 ? log_add(last.blanks[n], last.labels[n - 1]) : last.blanks[0];
}

template <class T>
REHEARSE_INLINE void backward_pass(Lattice& lattice, const T* logits, int64_t classes, std::span<const int32_t> target,
                                   int32_t blank, double weight, double log_likelihood, T* gradient) {
  const int64_t last = lattice.frames - 1;
  const int64_t n = lattice.num_labels;
  lattice.beta_row(last).blanks[n] = 0;
  if (n > 0) lattice.beta_row(last).labels[n - 1] = 0;
  for (int64_t t = last; t >= 0; --t) {
    if (t < last) {
      const T* next = logits + (t + 1) * classes;
      gather_emissions(lattice, t + 1, next, target);
      lattice.emission[kLanes + n] = kNever;
      advance_beta(lattice, t, static_cast<double>(next[blank]) - lattice.row_log_sum[t + 1]);
    }
    subtract_posteriors(lattice, t, target, blank, log_likelihood, weight, gradient + t * classes);
  }
}

bool is_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

template <class T>
REHEARSE_INLINE CtcOutcome loss_and_gradient(const T* logits, int64_t frames, int64_t classes,
                                             std::span<const int32_t> target, int32_t blank, double weight,
                                             T* gradient) {
  CtcOutcome outcome;
  outcome.is_infeasible = ctc_frames_needed(target) > frames;
  if (outcome.is_infeasible || frames == 0) {
    if (gradient) std::fill(gradient, gradient + frames * classes, T(0));
    return outcome;
  }
  Lattice lattice(frames, target, gradient != nullptr);
  const double log_likelihood = forward_pass(lattice, logits, classes, target, blank, weight, gradient);
  outcome.loss = -log_likelihood;
  if (!is_finite(lattice.row_log_sum)) {
    // The vectorised lattice does not carry NaN; a diverged model must not look healthy.
    outcome.loss = std::numeric_limits<double>::quiet_NaN();
    if (gradient) std::fill(gradient, gradient + frames * classes, std::numeric_limits<T>::quiet_NaN());
    return outcome;
  }
  if (gradient) backward_pass(lattice, logits, classes, target, blank, weight, log_likelihood, gradient);
  return outcome;
}

}  // namespace

// NOLINTBEGIN(bugprone-macro-parentheses): a type takes none
#define REHEARSE_CTC(T)                                                                                            \
  REHEARSE_SIMD_CLONES CtcOutcome ctc_in_log_domain(const T* logits, int64_t frames, int64_t classes,              \
                                                    std::span<const int32_t> target, int32_t blank, double weight, \
                                                    T* gradient) {                                                 \
    return loss_and_gradient(logits, frames, classes, target, blank, weight, gradient);                            \
  }
// NOLINTEND(bugprone-macro-parentheses)
REHEARSE_CTC(float)
REHEARSE_CTC(double)
#undef REHEARSE_CTC

}  // namespace rehearse
