// "curriculum": draws so that the error of what is drawn stays at a target per domain (README.md of this folder).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "data/sampler/drawn_error.h"
#include "data/sampler/error_table.h"
#include "data/sampler/quarantine.h"
#include "data/sampler/sampler.h"
#include "data/sampler/sampler_options.h"
#include "data/sampler/shares/domain_controller.h"
#include "data/sampler/shares/domain_shares.h"
#include "data/sampler/shares/realised_means.h"
#include "trainer/base/random.h"

namespace rehearse {

// The table changes in begin_window() only: observations wait until their lag is over, so neither the time at which
// they are given nor the number of ranks or threads decides a draw.
class CurriculumSampler : public Sampler {
 public:
  using Options = SamplerOptions;
  static constexpr const char* kExample = "{type: curriculum}";
  CurriculumSampler(const Options& options, const Context& context);
  CurriculumSampler(const CurriculumSampler&) = delete;
  CurriculumSampler& operator=(const CurriculumSampler&) = delete;

  void begin_window(uint64_t first_step) override;
  Draw draw(uint64_t position) override;
  void observe(uint64_t step, std::span<const Observation> observations, bool in_warmup) override;
  void save(State& state) const override;
  void load(const State& state) override;
  void import_table(const State& old_state, const std::vector<uint64_t>& old_ids,
                    const std::vector<uint64_t>& new_ids) override;
  void set_planned_draws(uint64_t planned_draws) override { shares_.set_planned_draws(planned_draws); }
  std::vector<uint32_t> unmeasured() const override;
  std::vector<std::string> measure(std::span<const Measured> measured) override;
  nlohmann::json report() const override;
  std::vector<std::string> notes() const override { return shares_.notes(); }

  // As the memory of a sampler that draws otherwise: observations of steps < first_step - lag_steps + 1 are applied and
  // labels judged, nothing is tilted. Its part of a state is saved and loaded as a whole, under another sampler's name.
  void remember(uint64_t first_step);
  void count_visit(uint32_t utterance, uint64_t first_step);
  static nlohmann::json take_memory(State& state);
  void load_memory(const State& state);
  std::vector<std::string> forgetting_warnings(size_t domain) const;

  const ErrorTable& table() const { return table_; }
  const BinLayout& bins() const { return bins_; }
  const DomainController& controller(size_t domain) const { return domains_[domain].controller; }
  double realised_mean(size_t domain, size_t bin) const;

 private:
  struct Domain {
    Domain(const SamplerOptions& options, const std::string& name, size_t num_bins)
        : controller(options, name), realised(num_bins, options.realised_window) {}
    DomainController controller;
    RealisedMeans realised;
    DrawnError drawn;
    uint64_t planned = 0;  // draws
    uint64_t sweep = 0;    // cursor
    double seconds = 0;    // of all draws
  };
  struct PendingStep {
    uint64_t step = 0;
    bool in_warmup = false;
    std::vector<Observation> observations;
  };
  // How many draws each domain had had when a window began: the delay of its observations.
  struct WindowMark {
    uint64_t first_step = 0;
    std::vector<uint64_t> planned;
  };
  // Steering of one domain by one step.
  struct StepDeviation {
    uint64_t draws = 0;
    double sum = 0;
  };

  static ErrorTable make_table(const Context& context, const DomainLayout& layout, const BinLayout& bins);
  std::vector<TiltBin> tilt_bins(size_t domain) const;
  std::vector<TiltBin> seen_bins(size_t domain) const;
  double table_mean(size_t domain) const;
  void apply_before(uint64_t first_step);
  void apply(const PendingStep& pending);
  void apply(uint64_t step, const Observation& observation, std::vector<StepDeviation>& deviations);
  const WindowMark& mark_of(uint64_t step);
  uint32_t draw_member(size_t domain, size_t bin, const RandomKey& key) const;
  uint32_t draw_sweep(size_t domain);
  bool is_in_window(uint32_t utterance) const;

  void load_values(const State& state, const nlohmann::json& values);
  void take_measured(size_t domain, std::span<const Measured> measured);
  void import_values(const State& old_state, const std::vector<uint64_t>& old_ids,
                     const std::vector<uint64_t>& new_ids);
  nlohmann::json pending_to_json() const;
  void pending_from_json(const nlohmann::json& json);
  void adopt_domain(size_t domain, const State& old_state, size_t old_domain);
  nlohmann::json report_domain(size_t domain) const;
  std::vector<std::string> warnings(size_t domain) const;

  Options options_;
  DomainLayout layout_;
  DomainShares shares_;
  BinLayout bins_;
  RandomKey key_;
  RandomKey window_key_;
  std::vector<uint64_t> ids_;
  std::vector<float> cost_;
  std::string error_title_;
  ErrorTable table_;
  Quarantine quarantine_;
  std::vector<Domain> domains_;
  std::deque<PendingStep> pending_;  // ascending steps
  std::deque<WindowMark> marks_;     // ascending first steps
  bool has_window_ = false;
  uint64_t first_step_ = 0;
};

}  // namespace rehearse
