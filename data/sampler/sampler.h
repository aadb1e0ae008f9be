// Which utterance is drawn next, from metadata and observed errors alone (CURRICULUM.md of the design; data/README.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/base/config/config.h"
#include "trainer/base/state.h"

namespace rehearse {

// One drawn utterance. `bin` is the curriculum bin it was in when planned (0 elsewhere).
struct Draw {
  uint32_t utterance = 0;
  uint32_t visit = 0;  // how often it had been planned before
  uint16_t bin = 0;
  bool is_probe = false;
  bool is_learned = true;  // false: decoded with loss weight 0
};

// What training saw of one draw: the task's error of it, in [0, 1].
struct Observation {
  uint32_t position = 0;  // j of the draw in its planning window's step
  Draw draw;
  double error = 0;
  bool is_bad_file = false;    // the file could not be read: weighs 0 until it can be
  bool is_infeasible = false;  // as drawn it cannot be learned (too little of it is left): no error measured
};

// Plug-in ("uniform", "curriculum"). Every rank holds one and feeds it the same calls: all state is a function of them.
// Not thread-safe.
class Sampler {
 public:
  struct Context {
    std::vector<uint32_t> domain;      // per utterance, ascending (utterances are sorted by domain)
    std::vector<float> cost;           // per example: seconds of sound, pictures
    std::vector<std::string> domains;  // names
    std::vector<uint64_t> ids;         // stable utterance ids; empty: the utterance numbers
    uint64_t seed = 0;
    uint64_t planned_draws = 0;  // N of the run, for max_repeats; 0: unknown, no cap
    // What the task calls its error: in keys ("target_<error_name>", "drawn_<error_name>", …), and for people.
    std::string error_name = "error";
    std::string error_title = "error";
    std::string examples = "examples";  // what they are, for people and in the report
    std::string cost_name = "cost";     // of an example, in the report
  };
  virtual ~Sampler() = default;

  // A planning window begins: solve the controllers on the observations of steps < first_step - lag_steps + 1. Those of
  // later steps may already have been given; they wait.
  virtual void begin_window(uint64_t first_step) = 0;
  // The draw number `position` of the window; randomness is hash(seed, first_step, position, purpose). Counts the
  // visit.
  virtual Draw draw(uint64_t position) = 0;
  // Observations of one step, in order of position. `in_warmup` freezes the integral trim.
  virtual void observe(uint64_t step, std::span<const Observation> observations, bool in_warmup) = 0;

  virtual void save(State& state) const = 0;
  virtual void load(const State& state) = 0;  // DataError when it does not fit this corpus
  // Fine-tuning: takes what a state saved for another corpus knows about the utterances both have (error, visits), and
  // the tilt of domains marked replay, whichever sampler saved it. The state's own ids are its array "sampler.ids".
  virtual void import_table(const State& old_state, const std::vector<uint64_t>& old_ids,
                            const std::vector<uint64_t>& new_ids) = 0;
  // Replay domains of which no earlier run has left anything: what has to be scored before the first step, and the
  // scores (as many as could be read). Returns lines for the log.
  struct Measured {
    uint32_t utterance = 0;
    double error = 0;
  };
  virtual std::vector<uint32_t> unmeasured() const { return {}; }
  virtual std::vector<std::string> measure(std::span<const Measured>) { return {}; }
  // The length of the run became known or changed: shares are divided again under max_repeats.
  virtual void set_planned_draws(uint64_t planned_draws) = 0;

  // Per domain, for metrics.jsonl and the report: share, state, lambda, goal, trim, breadth, quarantined, median …
  virtual nlohmann::json report() const = 0;
  // Lines for the log at the start of a run: the share of every domain and what limits it.
  virtual std::vector<std::string> notes() const = 0;
};

}  // namespace rehearse
