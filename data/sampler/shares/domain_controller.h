// Holds the error of one domain's draws at its target: tilt, integral trim, cut-off, replay limits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/sampler/sampler_options.h"
#include "data/sampler/shares/tilt_solver.h"
#include "data/sampler/weighted_pick.h"
#include "trainer/base/state.h"

namespace rehearse {

class DomainController {
 public:
  DomainController(const SamplerOptions& options, const std::string& domain);

  // bins: members of every bin outside quarantine and their realised means; the first `num_seen` hold seen utterances.
  // DataError naming the domain when there is nothing to draw.
  void solve(std::span<const TiltBin> bins, size_t num_seen);
  // Median, cut-off and expected error alone, for a domain that nothing tilts; false when there is nothing to draw.
  bool assess(std::span<const TiltBin> bins);
  // After from_json() with the bins of the last solve(): its picks again, from the saved λ and cut.
  void restore_picks(std::span<const TiltBin> bins, size_t num_seen);
  // Integral trim by one step's draws: deviation_sum = Σ(target - error), delay = draws of the domain between plan and
  // update.
  void steer(uint64_t draws, double deviation_sum, uint64_t delay, bool in_warmup);
  // Fine-tuning begins: the present λ is the ceiling of `hold`, the expected error the reference for forgetting.
  void mark_switch(double lambda, double expected_error);
  // The λ that the target asks for of these bins, where no earlier run tilted: the ceiling to mark. 0 where even the
  // steepest tilt would be too hard. Some bin must have members.
  double lambda_for_target(std::span<const TiltBin> bins, size_t num_seen);

  // After solve(): the bin of a tilt draw, and of a suspect probe (has_suspects() first).
  size_t pick_bin(uint64_t random) const { return tilt_pick_.pick(random); }
  bool has_suspects() const { return suspect_pick_.total() > 0; }
  size_t pick_suspect_bin(uint64_t random) const { return suspect_pick_.pick(random); }
  bool is_suspect_bin(size_t bin) const { return bin < is_suspect_.size() && is_suspect_[bin]; }

  double target() const { return target_; }
  double goal() const;
  double trim() const { return trim_; }
  const Tilt& tilt() const { return tilt_; }
  std::string state() const;  // "learned", "on target", "breadth", "too hard", or of a replay domain "held", "uniform"
  bool is_good() const { return is_good_; }
  double median() const { return median_; }
  double cut() const { return cut_; }
  double expected_error() const { return expected_error_; }  // M_d
  std::optional<double> reference_error() const { return reference_error_; }
  std::optional<double> lambda_ceiling() const { return lambda_ceiling_; }
  bool is_replay() const { return is_replay_; }
  bool is_forgotten() const { return reference_error_ && expected_error_ > 1.5 * *reference_error_ + 0.02; }

  nlohmann::json to_json() const;
  void from_json(const nlohmann::json& json);

 private:
  // The bins a tilt may draw from; sets the suspects aside.
  std::vector<TiltBin> split_suspects(std::span<const TiltBin> bins, size_t num_seen);

  const SamplerOptions& options_;
  std::string domain_;
  double target_;
  bool is_replay_;
  double trim_ = 0;
  Tilt tilt_;
  bool is_held_ = false;
  bool is_good_ = false;
  double median_ = 1;
  double cut_ = 0.9;
  double expected_error_ = 1;
  std::optional<double> lambda_ceiling_;
  std::optional<double> reference_error_;
  WeightedPick tilt_pick_;
  WeightedPick suspect_pick_;
  std::vector<bool> is_suspect_;
};

}  // namespace rehearse
