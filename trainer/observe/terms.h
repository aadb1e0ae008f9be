// What a task calls its figures: keys of metrics.jsonl and evaluations, and titles for people. Everything that shows a
// figure takes its words from here.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rehearse {

// Sums of one update that a task adds to the trainer's own, at most.
constexpr size_t kMaxTaskSums = 12;

// A figure of the updates since the previous line: a quotient of two of the task's sums.
struct RatioTerm {
  std::string key;    // of metrics.jsonl and TensorBoard's train/
  std::string title;  // for people
  size_t numerator = 0, denominator = 0;
  bool is_in_line = false;  // of the terminal and the log, as "error 14.2% drawn 10.3/10%": at most one is
};

// A figure of a set of scored examples: a quotient of two of an example's sums, added over the set.
struct ScoreTerm {
  std::string key;    // "error"
  std::string title;  // "mean error"
  size_t numerator = 0, denominator = 0;
  bool is_percent = true;
  std::string numerator_key, denominator_key;  // of one example in an evaluation's file; empty: not written
  std::string hint;                            // "Σ edits / Σ length"
  bool is_more_better = false;
};

// A sum over a set of scored examples, written as a whole number. Without a title it is in files alone.
struct CountTerm {
  std::string key, title;
  size_t sum = 0;
};

struct TaskTerms {
  std::string task;  // `task.type`
  std::string example = "example", examples = "examples";
  std::string name_key = "name";  // of an example's name in files

  // What the sampler steers by, in [0, 1], as percent.
  std::string error_key = "error", error_title = "error";  // "drawn_<key>", "target_<key>"

  std::string loss_key = "loss", loss_title = "loss", loss_hint;  // a mean over the normaliser
  int loss_digits = 3;
  std::string loss_phase = "loss", loss_phase_title = "loss";  // what is computed between model and backward pass
  std::string drawn_cost_key = "cost";                         // of a domain's draws
  std::string cost_key = "cost", speed_title = "cost/s", speed_hint;
  std::string speed_word = "examples a second", speed_unit;  // a figure with its unit, and what it is
  // The size of a set or a run as people say it: its cost times `size_per_cost`.
  std::string size_key = "size", size_title = "size", run_size_key = "size", size_unit;
  std::string size_mark;  // behind the size of a run's data in its log: "h"; empty: their number says it
  double size_per_cost = 1;
  int size_digits = 0;

  std::vector<RatioTerm> ratios;
  std::vector<ScoreTerm> scores;  // the first one decides which checkpoint is best: less is better
  std::vector<CountTerm> counts;
  std::string counts_hint;      // what the counts are, below the table
  std::string quarantine_verb;  // that lists what the sampler has set aside; empty: none does
  std::string failures_title;   // of the list of examples that could not be loaded
  std::string infeasible_note;  // "expected …; found …": of a draw that teaches nothing as it was drawn
};

// Of the task with this name; a task without its own has the words above. The first task is the default.
const TaskTerms& terms_of(const std::string& task);

// For REHEARSE_TERMS, before main.
bool add_terms(const TaskTerms& terms);

// The task of runs that name none.
inline constexpr const char* kFirstTask = "ctc";

}  // namespace rehearse

#define REHEARSE_TERMS(function) [[maybe_unused]] static const bool kHasTerms = ::rehearse::add_terms(function())
