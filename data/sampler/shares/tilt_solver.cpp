#include "data/sampler/shares/tilt_solver.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr std::array<double, 15> kInverseFactorials = [] {
  std::array<double, 15> inverse{};
  double factorial = 1;
  for (int k = 0; k < 15; ++k) {
    factorial *= k == 0 ? 1 : k;
    inverse[static_cast<size_t>(k)] = 1 / factorial;
  }
  return inverse;
}();

struct Moments {
  double mean = 0;
  double variance = 0;
  double perplexity = 0;  // exp(entropy over utterances)
};

double easiest(std::span<const TiltBin> bins) {
  double least = std::numeric_limits<double>::infinity();
  for (const TiltBin& bin : bins)
    if (bin.count > 0) least = std::min(least, bin.mean);
  return least;
}

// Exponents and means relative to the easiest bin: the largest exponent is 0.
Moments moments(std::span<const TiltBin> bins, double least, double lambda) {
  double z = 0, first = 0, second = 0;
  for (const TiltBin& bin : bins) {
    if (bin.count <= 0) continue;
    const double above = bin.mean - least;
    const double weight = bin.count * portable_exp(-lambda * above);
    z += weight;
    first += weight * above;
    second += weight * above * above;
  }
  first /= z;
  second /= z;
  // exp(H) = Z·exp(λ·mean); the shift of both cancels.
  return {least + first, std::max(0.0, second - first * first), z * portable_exp(lambda * first)};
}

// λ in [0, lambda_max] with mean(λ) = goal, given mean(0) > goal >= mean(lambda_max). Newton inside a shrinking
// bracket; a step that leaves it or does not halve the error is replaced by bisection.
double solve_mean(std::span<const TiltBin> bins, double least, const TiltGoal& goal, double start) {
  double low = 0, high = goal.lambda_max;
  double lambda = start > low && start < high ? start : 0.5 * (low + high);
  double last_error = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 120; ++i) {
    const Moments m = moments(bins, least, lambda);
    const double error = m.mean - goal.mean;
    if (std::abs(error) < 1e-13) break;
    (error > 0 ? low : high) = lambda;
    const double newton = m.variance > 0 ? lambda + error / m.variance : low;
    const bool is_useful = newton > low && newton < high && std::abs(error) < 0.5 * last_error;
    last_error = is_useful || i == 0 ? std::abs(error) : std::numeric_limits<double>::infinity();
    const double next = is_useful ? newton : 0.5 * (low + high);
    if (next == lambda) break;
    lambda = next;
  }
  return lambda;
}

// Largest λ below `high` that keeps the floor; perplexity falls with λ >= 0.
double solve_floor(std::span<const TiltBin> bins, double least, double floor, double high) {
  double low = 0;
  for (int i = 0; i < 80; ++i) {
    const double middle = 0.5 * (low + high);
    (moments(bins, least, middle).perplexity >= floor ? low : high) = middle;
  }
  return low;
}

double total_count(std::span<const TiltBin> bins) {
  double n = 0;
  for (const TiltBin& bin : bins) n += bin.count;
  return n;
}

}  // namespace

double portable_exp(double x) {
  if (x < -708) return 0;
  if (x > 709) return std::numeric_limits<double>::infinity();
  const double turns = std::floor(x * 1.4426950408889634 + 0.5);
  const double r = (x - turns * 0x1.62e42feep-1) - turns * 0x1.a39ef35793c76p-33;  // ln 2 in two parts; |r| <= 0.35
  double sum = kInverseFactorials[14];
  for (int k = 13; k >= 0; --k) sum = kInverseFactorials[k] + sum * r;  // Taylor: the remainder is below 2^-53
  return sum * std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(turns) + 1023) << 52);
}

Tilt tilt_at(std::span<const TiltBin> bins, double lambda) {
  const Moments m = moments(bins, easiest(bins), lambda);
  return {lambda, TiltState::kOnTarget, m.mean, m.perplexity / total_count(bins)};
}

Tilt solve_tilt(std::span<const TiltBin> bins, const TiltGoal& goal, double start) {
  const double n = total_count(bins);
  REHEARSE_CHECK(n > 0, "the caller names a domain without utterances");
  const double least = easiest(bins);
  Tilt tilt;
  if (moments(bins, least, 0).mean > goal.mean) {
    const bool is_reachable = moments(bins, least, goal.lambda_max).mean <= goal.mean;
    tilt.state = is_reachable ? TiltState::kOnTarget : TiltState::kTooHard;
    tilt.lambda = is_reachable ? solve_mean(bins, least, goal, start) : goal.lambda_max;
    const double floor = std::max(goal.min_breadth * n, std::min(n, 50.0) / 2);
    if (moments(bins, least, tilt.lambda).perplexity < floor * (1 - 1e-10)) {
      tilt.lambda = solve_floor(bins, least, floor * (1 - 1e-10), tilt.lambda);
      tilt.state = TiltState::kBreadth;
    }
  }
  const Moments m = moments(bins, least, tilt.lambda);
  tilt.mean = m.mean;
  tilt.breadth = m.perplexity / n;
  return tilt;
}

std::vector<double> tilt_probabilities(std::span<const TiltBin> bins, double lambda) {
  const double least = easiest(bins);
  std::vector<double> probabilities(bins.size(), 0);
  double z = 0;
  for (size_t k = 0; k < bins.size(); ++k)
    if (bins[k].count > 0) z += probabilities[k] = bins[k].count * portable_exp(-lambda * (bins[k].mean - least));
  for (double& p : probabilities) p /= z;
  return probabilities;
}

}  // namespace rehearse
