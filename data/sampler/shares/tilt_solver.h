// The tilt of one domain: p_k ∝ n_k·exp(-λ r_k) with λ ≥ 0 such that the mean of r is the goal and the breadth is kept.
#pragma once

#include <span>
#include <vector>

namespace rehearse {

// The same bits on every machine, which std::exp does not promise. Compiled without fused multiply-add.
double portable_exp(double x);

struct TiltBin {
  double count = 0;  // utterances that may be drawn; empty bins are ignored
  double mean = 0;   // r_k: error expected of a draw from here
};

struct TiltGoal {
  double mean = 0.1;
  double min_breadth = 0.2;  // exp(entropy over utterances) is at least this share of them …
  double lambda_max = 60;
};

enum class TiltState {
  kLearned,   // even uniform draws are easier than the goal: λ = 0
  kOnTarget,  // mean = goal
  kBreadth,   // the goal would need fewer utterances than the floor allows: harder draws than wished
  kTooHard,   // even λ = lambda_max draws harder ones than the goal
};

struct Tilt {
  double lambda = 0;
  TiltState state = TiltState::kLearned;
  double mean = 0;     // of r under λ
  double breadth = 1;  // exp(entropy) / utterances
};

// … and at least min(n, 50) / 2. Some bin must have a count. `start`: the last λ, where Newton's method begins.
Tilt solve_tilt(std::span<const TiltBin> bins, const TiltGoal& goal, double start);
// Mean and breadth at a given λ; `state` is left for the caller.
Tilt tilt_at(std::span<const TiltBin> bins, double lambda);
// Sum 1 (up to rounding); 0 for empty bins.
std::vector<double> tilt_probabilities(std::span<const TiltBin> bins, double lambda);

}  // namespace rehearse
